"""Changes of the content of checkpoints, score maps and JSON, which stay valid files."""

import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from damage import replaced
from foreign import Malicious
from trial import Scene

TRACE = "malicious"  # the folder that a pickle makes if it runs


def _content(
    change: Callable[[Scene, dict[str, Any]], bool | None],
) -> Callable[[Scene, Path], bool | None]:
    """Change the content of a torch file, which stays a valid one."""

    def mutate(scene: Scene, file: Path) -> bool | None:
        content = torch.load(file, weights_only=True)
        accepted = change(scene, content)
        file.unlink()
        torch.save(content, file)
        return accepted

    return mutate


def _key_less(scene: Scene, content: dict[str, Any]) -> bool | None:
    del content[scene.random.choice(sorted(content))]
    return False


def _config_key_less(scene: Scene, content: dict[str, Any]) -> bool | None:
    del content["model_config"][scene.random.choice(sorted(content["model_config"]))]
    return False


def _config_value(scene: Scene, content: dict[str, Any]) -> bool | None:
    """Another value in the configuration: the tensors no longer fit, or the number is absurd."""
    values: Sequence[Any] = [
        7,
        -1,
        0,
        "x",
        "",
        None,
        [],
        {},
        1e30,
        float("nan"),
        True,
        ["a"],
        10**9,
    ]
    name = scene.random.choice(
        ["method", "backbone", "output_stride", "classes", "rates", "weight"]
    )
    content["model_config"][name] = scene.random.choice(values)
    return None


def _tensor(scene: Scene, content: dict[str, Any]) -> bool | None:
    tensors = content["tensors"]
    name = scene.random.choice([n for n in sorted(tensors) if tensors[n].ndim])
    tensors[name] = scene.random.choice(
        [
            tensors[name][:1].clone(),
            tensors[name].half(),
            tensors[name].tolist(),
            torch.full_like(tensors[name], float("nan"))
            if tensors[name].is_floating_point()
            else 0,
            "text",
            tensors[name][None],
        ]
    )
    return False


def _tensor_less(scene: Scene, content: dict[str, Any]) -> bool | None:
    del content["tensors"][scene.random.choice(sorted(content["tensors"]))]
    return False


def _tensor_more(scene: Scene, content: dict[str, Any]) -> bool | None:
    content["tensors"]["more"] = torch.zeros(3)
    return False


def _kind(scene: Scene, file: Path) -> bool | None:
    """A torch file of another kind."""
    others: Sequence[Any] = [torch.zeros(3), [1, 2], "text", {}, {"format": 1}, None, {1: 2}]
    file.unlink()
    torch.save(scene.random.choice(others), file)
    return False


def _pickle(scene: Scene, file: Path) -> bool | None:
    """A pickle that makes a folder when it is loaded."""
    bad = Malicious(scene.folder / TRACE)
    file.unlink()
    if scene.random.random() < 0.5:
        file.write_bytes(pickle.dumps(bad))
    else:
        torch.save({"format": bad}, file)
    return False


def _another_step(scene: Scene, file: Path) -> bool | None:
    """A checkpoint of another step, or the placeholder of IRN."""
    others = [name for name in ("classifier.pt", "segmenter.pt", "irn.pt") if name != file.name]
    replaced(file, (file.parent / scene.random.choice(others)).read_bytes())
    return False


OF_CHECKPOINTS: dict[str, Callable[[Scene, Path], bool | None]] = {
    "a key less": _content(_key_less),
    "a key of the configuration less": _content(_config_key_less),
    "another value": _content(_config_value),
    "one other value": _content(_config_value),
    "another tensor": _content(_tensor),
    "a tensor less": _content(_tensor_less),
    "a tensor more": _content(_tensor_more),
    "another kind": _kind,
    "pickled code": _pickle,
    "of another step": _another_step,
}


def _arrays(
    change: Callable[[Scene, dict[str, np.ndarray]], None],
) -> Callable[[Scene, Path], bool | None]:
    """Change the arrays of an .npz, which stays a valid one."""

    def mutate(scene: Scene, file: Path) -> bool | None:
        with np.load(file) as arrays:
            content = dict(arrays)
        change(scene, content)
        file.unlink()
        np.savez_compressed(file, **content)
        return False

    return mutate


def _other_scores(scene: Scene, arrays: dict[str, np.ndarray]) -> None:
    scores = arrays["scores"]
    arrays["scores"] = scene.random.choice(
        [
            scores[..., :-1],
            scores[0],
            scores[:0],
            np.concatenate([scores, scores]),
            np.full(scores.shape, np.nan),
            np.full(scores.shape, 2.0),
            np.full(scores.shape, 255, np.uint8),
            scores.astype(str),
            np.float64(1),
            scores.astype(complex),
            scores.astype(bool).astype("datetime64[s]"),
        ]
    )


def _other_classes(scene: Scene, arrays: dict[str, np.ndarray]) -> None:
    classes = arrays["classes"]
    arrays["classes"] = scene.random.choice(
        [
            np.full(classes.shape, -1),
            np.full(classes.shape, 99),
            classes[None],
            np.int64(0),
            classes.astype(str),
            classes + 0.5,
            classes[:0],
            np.concatenate([classes, classes]),
            np.full(classes.shape, np.nan),
        ]
    )


def _name_less(scene: Scene, arrays: dict[str, np.ndarray]) -> None:
    del arrays[scene.random.choice(sorted(arrays))]


def _objects(scene: Scene, arrays: dict[str, np.ndarray]) -> None:
    arrays["scores"] = np.array([Malicious(scene.folder / TRACE)], dtype=object)


OF_MAPS: dict[str, Callable[[Scene, Path], bool | None]] = {
    "other scores": _arrays(_other_scores),
    "others in scores": _arrays(_other_scores),
    "other classes": _arrays(_other_classes),
    "others in classes": _arrays(_other_classes),
    "an array less": _arrays(_name_less),
    "pickled code": _arrays(_objects),
}


TEXTS = (
    *(
        "",
        "{",
        "[]",
        "null",
        "1",
        '"text"',
        "{}",
        "\ufeff{}",
        "NaN",
        "[" * 5000,
        '{"background": 1',
    ),
    *("{'background': 0.4}", "// 1\n{}", '{"background": 0.4} x', "\0"),
)


def _text(scene: Scene, file: Path) -> bool | None:
    replaced(file, scene.random.choice(TEXTS).encode())
    return False


def _json_value(scene: Scene, file: Path) -> bool | None:
    """Another value for one name: no threshold is NaN, 7, text or a list."""
    content = json.loads(file.read_text())
    values: Sequence[Any] = [
        float("nan"),
        7,
        -1,
        "0.4",
        None,
        [0.4],
        {},
        True,
        float("inf"),
        10**400,
    ]
    content[scene.random.choice(sorted(content))] = scene.random.choice(values)
    replaced(file, json.dumps(content).encode())
    return False


def _json_name_less(scene: Scene, file: Path) -> bool | None:
    content = json.loads(file.read_text())
    del content[scene.random.choice(sorted(content))]
    replaced(file, json.dumps(content).encode())
    return False


OF_JSON: dict[str, Callable[[Scene, Path], bool | None]] = {
    "another text": _text,
    "some text": _text,
    "another value": _json_value,
    "one other value": _json_value,
    "a name less": _json_name_less,
}
