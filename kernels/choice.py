"""An attribute that takes one of a few names."""

from typing import TYPE_CHECKING


class Choice:
    """Descriptor that checks what is assigned, first of all in `__init__`: there is no default.

    It has no `__get__`, so that reading finds the object's own attribute as fast as any other: operations ask for
    theirs at every call.

    Raises:
        ValueError: on assignment of a name that is none of them.
    """

    def __init__(self, *names: str) -> None:
        self.names = names

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> str: ...

    def __set__(self, instance: object, value: str) -> None:
        if value not in self.names:
            raise ValueError(f"{self.name} is one of {', '.join(self.names)}, got {value!r}")
        vars(instance)[self.name] = value
