"""Who we are upstream: sign-ins, their renewal, their health, and which one serves a request."""
