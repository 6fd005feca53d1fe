"""kiroproxy: the Anthropic and OpenAI APIs in front of a Kiro account."""

__version__ = "0.1.0"
