"""Gives texts back."""


class Model:
    def __init__(self, folder):
        pass

    def evaluate(self, columns):
        return {"echo": [f"{text}?" for text in columns["text"]]}
