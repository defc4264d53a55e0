"""What tests/chaos/chaos.py does to servers, each fault a method that takes the victim and says what it did."""
import collections
import pathlib
import re
import signal

from victims import ChaosError

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SITE_SECONDS = 10  # For a process to come to the moment at which it is to die.
FRAME_BYTES = 24 + 4096  # Of SQLite's write-ahead log.


def failpoints(store):
    """The moments at which a server can be let die, as its sources have them."""
    sites = set()
    for folder in ("core", "server"):
        for file in (ROOT / folder).rglob("*.cc"):
            if file.parent.name in ("sqlite", "redis") and file.parent.name != store:
                continue
            sites.update(re.findall(r'Failpoint\("(\w+)"\)', file.read_text(encoding="utf-8")))
    return sorted(sites)


class Faults:
    """The faults of one run, each as often as `kinds` lists it."""

    def __init__(self, chaos, disk):
        self.options, self.random, self.replicas = chaos.options, chaos.random, chaos.replicas
        self.load, self.store, self.wait, self.disk = chaos.load, chaos.store, chaos.wait, disk
        self.sites = failpoints(self.options.store)
        self.order = []  # Sites whose turn comes.
        self.reached = collections.Counter()
        kinds = ["kill"] * 4 + ["cut"] * 2 + ["drain"] + ["failpoint"] * 3
        if self.options.store == "redis":
            kinds += ["pause", "kill_store"]
        else:
            kinds += ["tear"] * (self.options.replicas == 1) + ["fill"] * (disk is not None)
        self.kinds = [k for k in kinds if not self.options.faults or k in self.options.faults]
        if not self.kinds:
            raise ChaosError(f"none of the faults {self.options.faults} is among {sorted(set(kinds))}")

    def strike(self, replica):
        """Answers what was done, and whether sessions must have lost their stream by it."""
        kind = self.random.choice(self.kinds)
        return getattr(self, kind)(replica) or kind, kind not in ("kill_store", "fill")

    def kill(self, replica):
        """kill -9, and a new process on the same port."""
        replica.restart(signal.SIGKILL)

    def drain(self, replica):
        """SIGTERM, as a rolling update does, once all others serve."""
        for other in self.replicas:
            other.wait_ready()
        replica.restart(signal.SIGTERM)

    def cut(self, _):
        """Resets connections in the middle of a message."""
        self.load.ask("cut", self.random.randint(0, 3000))

    def pause(self, replica):
        """SIGSTOP until others went on without it: a zombie owner wakes up."""
        before = self.wait(0, 0)["breaks"]
        replica.send(signal.SIGSTOP)
        report = self.wait(1000, 2000)
        while report["breaks"] <= before + self.options.sessions // 20:
            report = self.wait(1000, 2000)
        replica.send(signal.SIGCONT)

    def kill_store(self, _):
        """kill -9 of the store, which comes back with what it had synced."""
        self.store.end()
        self.store.start()

    def failpoint(self, replica):
        """kill -9, and a process that kills itself at a moment of the protocol; then a sound one."""
        if not self.order:
            self.order = self.random.sample(self.sites, len(self.sites))
        site = self.order.pop()
        replica.restart(signal.SIGKILL, GRUSERVE_FAILPOINT=f"{site}:{self.random.randint(1, 100)}")
        if site.startswith("drain"):
            replica.wait_ready()
            replica.send(signal.SIGTERM)
        if replica.dies_within(SITE_SECONDS):
            self.reached[site] += 1
        replica.restart(signal.SIGKILL)
        return f"at {site}"

    def fill(self, replica):
        """The disk is full for a while, and every other time its server is killed meanwhile."""
        self.disk.fill()
        self.wait(100, 500)
        if self.random.random() < 0.5:
            replica.restart(signal.SIGKILL, meanwhile=self.disk.free)
            return "fill, kill"
        self.disk.free()

    def tear(self, replica):
        """kill -9 in the middle of a write: half a frame lies behind what was synced."""
        replica.restart(signal.SIGKILL, meanwhile=self._tear)

    def _tear(self):
        log = pathlib.Path(f"{self.options.database}-wal")
        written = log.read_bytes() if log.exists() else b""
        frame = written[-FRAME_BYTES:] if len(written) > FRAME_BYTES else self.random.randbytes(FRAME_BYTES)
        with log.open("ab") as file:
            file.write(frame[:self.random.randint(1, FRAME_BYTES - 1)])

    def tell(self):
        """At which moments processes died."""
        if "failpoint" not in self.kinds:
            return
        reached = ", ".join(f"{site} {count}" for site, count in sorted(self.reached.items()))
        missing = ", ".join(site for site in self.sites if site not in self.reached)
        print(f"died at {len(self.reached)} of {len(self.sites)} moments: {reached or 'none'}; not at: {missing or 'none'}")
