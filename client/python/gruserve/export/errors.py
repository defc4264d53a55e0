"""What ends an export, with a message for whoever typed the command."""

ONNX_ADVICE = (
    "export the network to ONNX (torch.onnx.export, tf2onnx) and put it into the repository as model.onnx, "
    "or keep this part outside of the served model"
)


class ExportError(Exception):
    """The export ends. `exit_code`: 2 where the source or the usage is to blame, 1 where a check is."""

    def __init__(self, message: str, exit_code: int = 2):
        super().__init__(message)
        self.exit_code = exit_code


def cannot_express(part: str, kind: str, why: str, advice: str = ONNX_ADVICE) -> ExportError:
    """A part of the network, by its path and class, that model.json has no words for."""
    return ExportError(f'"{part}" ({kind}) cannot be expressed in model.json: {why}; {advice}')


def one_line(error: BaseException | None) -> str:
    """The class of an error, and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
