"""An attribute that takes one of a few names."""


class Choice:
    """Descriptor: the default until one of the other names is assigned.

    Raises:
        ValueError: on assignment of a name that is none of them.
    """

    def __init__(self, default: str, *others: str) -> None:
        self.default, self.names = default, (default, *others)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: type) -> str:
        return self.default if instance is None else vars(instance).get(self.name, self.default)

    def __set__(self, instance: object, value: str) -> None:
        if value not in self.names:
            raise ValueError(f"{self.name} is one of {', '.join(self.names)}, got {value!r}")
        vars(instance)[self.name] = value
