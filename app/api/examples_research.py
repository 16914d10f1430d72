"""Examples of research in the API's documentation."""

SOURCE = {
    "ref": "src-5f3a9c1e",
    "number": 1,
    "title": "Tides",
    "url": "corpus:tides",
    "kind": "corpus",
    "excerpt": "Tides are the regular rise and fall of the sea.",
    "run_id": "0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a13",
    "fetched_at": "2026-11-20T12:00:00Z",
}
