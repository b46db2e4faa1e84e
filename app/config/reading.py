"""Reading a file of the configuration: YAML into its model, every fault told."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from app.config.values import Model


class _Loader(yaml.SafeLoader):
    """Reads plain YAML; refuses a key that stands twice, since one would count for nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen = set[object]()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key!r} stands twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read(path: Path, model: type[Model], errors: list[str]) -> Model | None:
    """The file as its model; None, and what is wrong among the errors, where it is not sound."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one
        return model.model_validate(found)
    except FileNotFoundError:
        errors.append(f"{path}: there is no such file; BURNRATE_CONFIG names the folder")
    except (OSError, UnicodeDecodeError) as error:
        errors.append(f"{path}: cannot be read: {error}")
    except yaml.YAMLError as error:
        errors.append(f"{path}: not YAML: {' '.join(str(error).split())}")
    except ValidationError as error:
        for fault in error.errors():
            where = ".".join(str(part) for part in fault["loc"]) or "the file"
            errors.append(f"{path}: {where}: {fault['msg'].removeprefix('Value error, ')}")
    return None
