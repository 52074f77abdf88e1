"""What do several OpenAPI documents describe together? Providers publish an API in pieces, one page an operation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kling_contract.drift.openapi import ApiDocument, Endpoint
from kling_contract.errors import DocumentError

__all__ = ["DocumentSet"]


class DocumentSet(ApiDocument):
    """Several documents as one. Raise DocumentError where two of them describe the same operation."""

    def __init__(self, documents: Sequence[ApiDocument]) -> None:
        self.name = ", ".join(each.name for each in documents)
        self.tolerated = ()
        self.is_revision = False
        self.servers = tuple(dict.fromkeys(server for each in documents for server in each.servers))
        self._homes: dict[tuple[str, str], ApiDocument] = {}
        for document in documents:
            for method, path in document.routes():
                other = self._homes.setdefault((method, path), document)
                if other is not document:
                    raise DocumentError(
                        f"{method.upper()} {path} is in {other.name} and in {document.name}: leave one of them out"
                    )

    def routes(self) -> Iterator[tuple[str, str]]:
        yield from self._homes

    def operation_id(self, method: str, path: str) -> str:
        return self._homes[method, path].operation_id(method, path)

    def paths(self, path: str) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(each for (_, here), home in self._homes.items() if here == path for each in home.paths(path))
        )

    def endpoint(self, method: str, path: str) -> Endpoint:
        return self._homes[method, path].endpoint(method, path)
