"""compose.yaml and the files that it mounts, checked and as JSON.

compose.py check  whether it can run
compose.py ROOT   prints the services, and the targets of Prometheus
"""

import json
import pathlib
import sys

import yaml


def check(root, compose):
    """Asserts what docker compose would only find at the start."""
    services, networks = compose["services"], compose["networks"]
    for name, service in services.items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            known = (root / source).is_file() if source.startswith("./") \
                else source in compose["volumes"]
            assert known, f"{name}: nothing to mount at {source}"
        assert set(service["networks"]) <= set(networks), name
        assert set(service.get("depends_on", [])) <= set(services), name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert ":" in service["image"], f"{name}: an image without a version"


def main():
    if sys.argv[1:] == ["check"]:
        return
    root = pathlib.Path(sys.argv[1])

    def load(path):
        return yaml.safe_load((root / path).read_text())

    compose, folder = load("compose.yaml"), "examples/monitoring"
    check(root, compose)
    [source] = load(f"{folder}/datasource.yaml")["datasources"]
    host = source["url"].removeprefix("http://").split(":")[0]
    assert source["type"] == "prometheus" and host in compose["services"], source
    [provider] = load(f"{folder}/dashboards.yaml")["providers"]
    mounts = compose["services"]["grafana"]["volumes"]
    assert any(f":{provider['options']['path']}/" in mount for mount in mounts), provider
    [job] = load(f"{folder}/prometheus.yml")["scrape_configs"]
    targets = [target for group in job["static_configs"] for target in group["targets"]]
    print(json.dumps({"services": compose["services"], "targets": targets}))


main()
