"""The console script ``recam``: one module a subcommand, imported only when it is called."""
