"""The client: make a video, and wait for it, without ever paying twice."""

from kling_contract.client.calls import Progress
from kling_contract.client.client import AsyncClient, Client
from kling_contract.client.images import Image
from kling_contract.generation import Generation, Video

__all__ = ["AsyncClient", "Client", "Generation", "Image", "Progress", "Video"]
