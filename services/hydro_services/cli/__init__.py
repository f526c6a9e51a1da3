"""The command `hydro`: one module a noun, each command options, a function and a renderer."""
