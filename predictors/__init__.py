"""Build the optimized variants of a trained model, and serve one of them as a KServe predictor."""
