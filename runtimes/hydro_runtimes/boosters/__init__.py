"""Boosted trees in the files of their own libraries: XGBoost, LightGBM and CatBoost.

The signature is read from the file without its library, as the repository has to; `load` then
evaluates one row, so that a file that does not answer as it says is refused before traffic.
"""
