"""The adapters: how a fake is reached, in process, as an ASGI application, and on a real port."""
