"""Costs of single steps within one process, without sockets: `python -m bench.micro.flush`, `publish`, `registry`."""
