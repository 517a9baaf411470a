"""Networks and the bundles that hold them: torch lives here, and is loaded when a network is built or run."""
