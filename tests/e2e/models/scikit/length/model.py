"""How long a text is."""


class Model:
    def __init__(self, folder):
        pass

    def evaluate(self, columns):
        return {"length": [len(text) for text in columns["echo"]]}
