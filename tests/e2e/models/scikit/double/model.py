"""Twice a number."""


class Model:
    def __init__(self, folder):
        pass

    def evaluate(self, columns):
        return {"doubled": columns["length"] * 2.0}
