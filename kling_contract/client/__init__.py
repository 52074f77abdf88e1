"""The client: makes a video, waits for it, and never pays twice."""

from kling_contract.client.calls import Progress
from kling_contract.client.client import AsyncClient, Client
from kling_contract.client.fields import Fields
from kling_contract.client.images import Image
from kling_contract.generation import Generation, Video

__all__ = ["AsyncClient", "Client", "Fields", "Generation", "Image", "Progress", "Video"]
