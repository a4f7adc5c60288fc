"""Tensors that the methods of a run share, and the check that none of them changes one."""

from __future__ import annotations

from torch import Tensor

from seraser_core.errors import ConfigError


class Shared:
    """Tensors that methods share, each with its version.

    PyTorch counts the changes of a tensor in place, those of its views and in inference mode
    included, which costs nothing to ask. It does not see those through ``tensor.data``.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[str, Tensor, int]] = []
        self._changed_by: str | None = None

    def add(self, name: str, tensor: Tensor) -> Tensor:
        """Watch a tensor from now on, and return it."""
        if not tensor.is_inference():  # which has no version, and can hardly be changed
            self._seen.append((name, tensor, tensor._version))
        return tensor

    def check(self, method_id: str) -> None:
        """Refuse to go on once one of them was changed, after a call of this method.

        Raises:
            ConfigError: One was; names the method after whose call that was seen first.
        """
        for name, tensor, version in self._seen:
            if tensor._version != version:
                self._changed_by = self._changed_by or method_id
                raise ConfigError(
                    f"methods.{self._changed_by}",
                    f"it changes {name} in place, which all methods of the run share",
                    "change a copy instead: call clone() on it first",
                )
