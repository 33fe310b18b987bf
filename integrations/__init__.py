"""One module a framework, named as the framework is imported."""
