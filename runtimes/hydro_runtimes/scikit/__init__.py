"""scikit-learn's estimators: how they are loaded."""
