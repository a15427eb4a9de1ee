# Records of the C library as numpy and Python know them; failures as sentences.

LAST_CYCLE = 1 << 62                  # the clock stops here
cdef int64_t last_cycle = LAST_CYCLE
PORTS = ("N", "E", "S", "W", "RAMP")
REASONS = {1: "the next router's queue is full", 2: "the next router's switch does not listen to this port",
           3: "the core takes no word", 4: "the color is in teardown", 5: "another color has the link",
           6: "outside, as the router's switch does not listen to this port", 7: "it moves on"}
DELIVERY = np.dtype([("pe", "u4"), ("data", "u4"), ("color", "u1"), ("flags", "u1"), ("port", "u1"), ("unused", "u1")])
ROUTE = np.dtype([("positions", "u1"), ("initial", "u1"), ("ring", "u1"), ("pop", "u1"), ("swap", "u1"),
                  ("teardown", "u1"), ("in", "u1", 4), ("out", "u1", 4)])
RECT = np.dtype([(name, "i4") for name in ("color", "x", "y", "width", "height", "route")])
FILTER = np.dtype([(name, "i4") for name in ("color", "x", "y", "width", "height", "kind")]
                  + [(name, "u4") for name in ("low", "high", "limit", "limit2", "start")]
                  + [("count_data", "i4"), ("count_control", "i4")])


cdef dict report_of(const wsk_report *r, int width):
    chain = [{"pe": (r.chain[i].pe % width, r.chain[i].pe // width), "color": r.chain[i].color,
              "port": PORTS[r.chain[i].port], "waits_for": REASONS[r.chain[i].reason]} for i in range(r.chain_length)]
    return {"status": r.status, "pe": (r.pe % width, r.pe // width), "color": r.color if r.color >= 0 else None,
            "port": PORTS[r.port] if r.port >= 0 else None,
            "other_port": PORTS[r.other_port] if r.other_port >= 0 else None, "cycle": r.cycle,
            "chain": chain, "chain_loops": bool(r.chain_loops), "chain_skipped": r.chain_skipped}


cdef str sentence_of(dict report):
    parts = [f"PE {report['pe']}"]
    if report["color"] is not None:
        parts.append(f"color {report['color']}")
    if report["port"] is not None:
        ports = [report["port"]] + ([report["other_port"]] if report["other_port"] else [])
        parts.append("port " + " and ".join(ports))
    parts.append(f"cycle {report['cycle']}")
    text = ", ".join(parts)
    for i, link in enumerate(report["chain"]):
        if report["chain_skipped"] and i == WSK_CHAIN // 2:
            text += f"; and so on for {report['chain_skipped']} more"
        verb = "goes on" if link["waits_for"] == REASONS[7] else "waits"
        text += f"; PE {link['pe']} color {link['color']} {verb} at {link['port']}" + (
            "" if verb == "goes on" else f": {link['waits_for']}")
    return text + ("; and so on in a loop" if report["chain_loops"] else "")


cdef int check(int status, const wsk_report *report, int width) except -1:
    from wsekern.errors import raise_for_status

    if status < 0:
        if report != NULL and report.status == status:
            found = report_of(report, width)
            raise_for_status(status, sentence_of(found), found)
        raise_for_status(status)
    return status
