"""One command a module.

Each module is named after its command and has `register(app)`. It imports typer at most; what its command
needs is imported inside the command's function, so that `podium --help` stays fast and a bare installation
can start every command that its extras allow.
"""

__all__: list[str] = []
