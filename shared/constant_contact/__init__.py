"""The edge to Constant Contact: what its answers mean, its tokens, its limits, its calls."""
