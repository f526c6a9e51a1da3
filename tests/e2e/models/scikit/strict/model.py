"""Wants what the stage before it can do without."""


class Model:
    def __init__(self, folder):
        pass

    def evaluate(self, columns):
        return {"total": columns["note"] + columns["vector"].sum(axis=1)}
