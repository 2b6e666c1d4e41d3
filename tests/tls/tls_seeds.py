"""Scripts that `test_tls_scripts.py` always plays: where TLS transports have gone wrong, ours and others'."""

BIG = 600_000

SEEDS = [
    # Closing with much still to be written, against a peer that has data on the way.
    (
        "client",
        "1.3",
        [("peer encrypts", 40_000), ("let out", 20_000), ("write", BIG)],
        ("close",),
        [("let out", BIG)],
    ),
    ("server", "1.2", [("write", BIG), ("write", BIG)], ("close",), [("turns", 4), ("write", 10)]),
    # Data that comes after the transport's close_notify: what is not sent yet is given up.
    ("client", "1.2", [("write", BIG)], ("close",), [("peer encrypts", 1)]),
    # A close_notify behind more than one buffer of a BufferedProtocol, and while it has paused.
    (
        "server",
        "1.3",
        [("buffered", 100), ("pause",), ("peer encrypts", 40_000)],
        ("peer closes",),
        [("let out", BIG), ("turns", 4), ("resume",)],
    ),
    # The end of TCP inside a record.
    (
        "client",
        "1.2",
        [("peer encrypts", 40_000), ("let out", 17_000), ("turns", 2)],
        ("peer breaks off",),
        [],
    ),
    # The end of TCP while reading has paused and much waits.
    (
        "client",
        "1.3",
        [("pause",), ("peer encrypts", BIG), ("let out", BIG), ("turns", 4)],
        ("peer breaks off",),
        [("turns", 4), ("resume",)],
    ),
    # A reset while the transport has much to write, and has asked the program to stop.
    (
        "server",
        "1.3",
        [("limits", 1), ("write", BIG), ("write", BIG), ("turns", 1)],
        ("peer resets",),
        [("write", 5)],
    ),
    # A reset when the peer has read one byte of a record: its header is cut too.
    ("client", "1.2", [("write", 1), ("peer reads", 1)], ("peer resets",), []),
    # A callback that ends the connection in the middle of what was read.
    (
        "client",
        "1.3",
        [("when data comes", "abort"), ("peer encrypts", BIG), ("let out", BIG)],
        ("close",),
        [],
    ),
    (
        "server",
        "1.3",
        [("when data comes", "close"), ("peer encrypts", BIG), ("let out", BIG)],
        ("peer closes",),
        [],
    ),
    (
        "server",
        "1.2",
        [
            ("buffered", 100),
            ("when data comes", "pause"),
            ("peer encrypts", 1000),
            ("let out", 5000),
            ("turns", 2),
        ],
        ("peer closes",),
        [("let out", 5000), ("turns", 2)],
    ),
    # Records that are cut into single bytes.
    ("client", "1.3", [("peer encrypts", 20), *[("let out", 1), ("turns", 1)] * 9], ("peer closes",), []),
    # A changed byte in a record's head, in its body, and in its end.
    ("client", "1.3", [("peer encrypts", 100)], ("change a byte", 3), [("let out", 1000)]),
    ("server", "1.2", [("peer encrypts", 100), ("write", BIG)], ("change a byte", 60), [("let out", 1000)]),
    (
        "server",
        "1.3",
        [("peer encrypts", 100), ("pause",)],
        ("change a byte", 120),
        [("let out", 1000), ("resume",)],
    ),
    # Another protocol in the middle of what was read, of the other kind.
    (
        "client",
        "1.3",
        [
            ("peer encrypts", 40_000),
            ("let out", 30_000),
            ("turns", 2),
            ("buffered", 1),
            ("let out", BIG),
            ("turns", 1),
        ],
        ("peer closes",),
        [("copied",), ("let out", BIG)],
    ),
    # Both ends close at once.
    ("client", "1.2", [("write", 100)], ("peer closes",), [("let out", 100), ("close",)]),
    # Nothing at all.
    ("server", "1.3", [("write", 0), ("writelines", [0, 0])], ("close",), []),
]
