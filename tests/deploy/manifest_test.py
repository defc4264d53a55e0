#!/usr/bin/env python3
"""Holds deploy/k8s/gruserve.yaml and the Dockerfile against the programs they start.

usage: manifest_test.py GRUSERVE_SERVER GRUSERVE
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVER, CLIENT = sys.argv[1:3]
UNITS = {"Mi": 2**20, "Gi": 2**30}


def seconds(duration):
    """Of Go's form, such as 1m30s."""
    return sum(float(n) * {"h": 3600, "m": 60, "s": 1, "ms": 1e-3}[unit]
               for n, unit in re.findall(r"([\d.]+)(ms|h|m|s)", duration))


def size(quantity):
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def options_of(arguments):
    """What the server makes of a command line; it refuses what it does not know."""
    run = subprocess.run([SERVER, *arguments, "--print-config"], check=True, capture_output=True, text=True)
    return yaml.safe_load(run.stdout)


class ManifestTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        documents = list(yaml.safe_load_all((ROOT / "deploy/k8s/gruserve.yaml").read_text()))
        by_kind = {document["kind"]: document for document in documents}
        assert len(by_kind) == len(documents) == 2
        cls.deployment, cls.service = by_kind["Deployment"], by_kind["Service"]
        cls.pod = cls.deployment["spec"]["template"]["spec"]
        (cls.container,) = cls.pod["containers"]
        cls.options = options_of(cls.container["args"])
        cls.dockerfile = (ROOT / "Dockerfile").read_text()

    def test_the_selectors_find_the_pods(self):
        labels = self.deployment["spec"]["template"]["metadata"]["labels"]
        for selector in (self.deployment["spec"]["selector"]["matchLabels"], self.service["spec"]["selector"]):
            self.assertLessEqual(selector.items(), labels.items())

    def test_ports_are_those_the_server_listens_on(self):
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        self.assertEqual(ports, {"grpc": port_of(self.options["listen"]),
                                 "metrics": port_of(self.options["http-listen"])})
        self.assertEqual({port["targetPort"] for port in self.service["spec"]["ports"]}, set(ports))
        for port in self.service["spec"]["ports"]:
            self.assertEqual(port["port"], ports[port["targetPort"]])
        exposed = re.search(r"^EXPOSE (\d+)/tcp (\d+)/tcp$", self.dockerfile, re.M).groups()
        self.assertEqual({int(port) for port in exposed}, set(ports.values()))

    def test_probes_ask_names_that_the_server_has(self):
        probes = {kind: self.container[kind]["grpc"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")}
        self.assertEqual({probe["port"] for probe in probes.values()}, {port_of(self.options["listen"])})
        with tempfile.TemporaryDirectory() as folder:
            port_file = pathlib.Path(folder) / "port"
            with subprocess.Popen([SERVER, "--repository", str(ROOT / "deploy/models/repository"), "--listen",
                                   "127.0.0.1:0", "--http-listen", "none", "--port-file", str(port_file)],
                                  stderr=subprocess.PIPE) as server:
                # It logs a line after it wrote the port file.
                while not port_file.exists() and server.stderr.readline():
                    pass
                address = port_file.read_text().strip()
                codes = {name: subprocess.run([CLIENT, "--server", address, "health", name],
                                              capture_output=True, check=False).returncode
                         for name in [*(probe.get("service", "") for probe in probes.values()), "no such service"]}
                server.terminate()
        self.assertEqual(codes.pop("no such service"), 1)
        self.assertEqual(set(codes.values()), {0}, codes)
        # A drain or a failed model must not get the pod killed.
        self.assertEqual(probes["livenessProbe"]["service"], "liveness")

    def test_the_drain_fits_into_the_grace_period(self):
        self.assertGreater(self.pod["terminationGracePeriodSeconds"], seconds(self.options["drain-timeout"]) + 5)

    def test_nothing_is_allowed_that_is_not_needed(self):
        context = self.pod["securityContext"]
        self.assertTrue(context["runAsNonRoot"])
        self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
        user = re.search(r"^USER (\d+):(\d+)$", self.dockerfile, re.M).groups()
        self.assertEqual((str(context["runAsUser"]), str(context["runAsGroup"])), user)
        self.assertNotEqual(context["runAsUser"], 0)
        self.assertIs(self.pod["automountServiceAccountToken"], False)
        self.assertEqual(self.container["securityContext"], {"allowPrivilegeEscalation": False,
                                                             "readOnlyRootFilesystem": True,
                                                             "capabilities": {"drop": ["ALL"]}})

    def test_resources_are_bounded_and_hold_the_sessions(self):
        resources = self.container["resources"]
        self.assertEqual(resources["requests"].keys(), {"cpu", "memory"})
        # Half is left for models, messages and gRPC.
        self.assertGreaterEqual(size(resources["limits"]["memory"]), 2 * self.options["session-memory-bytes"])

    def test_models_are_mounted_read_only_where_the_server_looks(self):
        mounts = {mount["name"]: mount for mount in self.container["volumeMounts"]}
        self.assertEqual(mounts.keys(), {volume["name"] for volume in self.pod["volumes"]})
        self.assertEqual(mounts["models"]["mountPath"], self.options["repository"])
        self.assertTrue(mounts["models"]["readOnly"])

    def test_the_image_is_of_this_version_and_starts_the_same_way(self):
        version = re.search(r"project\(\s*gruserve\s+VERSION\s+([\d.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
        self.assertEqual(self.container["image"], f"gruserve:{version}")
        self.assertIn(f"tag=gruserve:{version}\n", (ROOT / "deploy/image.sh").read_text())
        command = yaml.safe_load(re.search(r"^CMD (\[.*\])$", self.dockerfile, re.M).group(1))
        self.assertEqual(options_of(command), {**self.options, "log-format": "text"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
