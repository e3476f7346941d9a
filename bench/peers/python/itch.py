"""Other people's decoders and books of ITCH 5.0, timed over a day file.

itch.py check                   only whether the packages are there
itch.py decode PACKAGE DAY      decodes all messages; PACKAGE is itchcpp
itch.py books PACKAGE DAY       keeps the books of all stocks; PACKAGE is itchcpp or itch-book

Prints the CPU time from opening the file to its end, in nanoseconds; then, for books, the best
level of each side of each stock: locate, side, price in ten-thousandths of a dollar, shares. What
Python needs to start is not counted.
"""

import datetime
import sys
import time

DATE = datetime.date(2026, 1, 5)


def decode_itchcpp(day):
    from itchcpp.parser import MessageParser

    parser = MessageParser()
    began = time.process_time_ns()
    with open(day, "rb") as file:
        data = file.read()
    # The fields become C++ numbers and text; turning them into Python objects would take longer.
    count = sum(1 for _ in parser.parse_stream(data))
    return time.process_time_ns() - began, [("messages", count)]


def stocks(data):
    """Returns the locate of each stock's symbol."""
    found, at = {}, 0
    while at < len(data):
        length = int.from_bytes(data[at:at + 2], "big")
        if data[at + 2:at + 3] == b"R":
            symbol = data[at + 13:at + 21].decode("ascii").rstrip()
            found[symbol] = int.from_bytes(data[at + 3:at + 5], "big")
        at += 2 + length
    return found


def books_itchcpp(day):
    from itchcpp.book import BookManager

    with open(day, "rb") as file:
        symbols = stocks(file.read())
    manager = BookManager()
    began = time.process_time_ns()
    for symbol in symbols:
        manager.track_symbol(symbol)
    with open(day, "rb") as file:
        manager.process_stream(file.read())
    took = time.process_time_ns() - began
    levels = []
    for symbol, locate in symbols.items():
        book = manager.book_for_symbol(symbol)
        best = book and book.bbo()
        if best and best.has_bid:
            levels.append((locate, "B", round(best.bid_price * 10_000), best.bid_shares))
        if best and best.has_ask:
            levels.append((locate, "S", round(best.ask_price * 10_000), best.ask_shares))
    return took, levels


def books_itch_book(day):
    import itch_book

    last = {}
    began = time.process_time_ns()
    feed = itch_book.open(day, date=DATE, price_type="fixed")
    batches = [batch.bbo for batch in feed.batches(tables=("bbo",))]
    took = time.process_time_ns() - began
    for rows in batches:
        # The last change of each stock's best levels is what is left at the end.
        columns = [rows[name].tolist() for name in ("locate", "bid_px", "bid_sz", "ask_px", "ask_sz")]
        for locate, *best in zip(*columns):
            last[locate] = best
    levels = []
    for locate, (bid, bid_shares, ask, ask_shares) in last.items():
        levels += [(locate, "B", bid, bid_shares)] if bid_shares else []
        levels += [(locate, "S", ask, ask_shares)] if ask_shares else []
    return took, levels


TASKS = {
    ("decode", "itchcpp"): decode_itchcpp,
    ("books", "itchcpp"): books_itchcpp,
    ("books", "itch-book"): books_itch_book,
}

if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        import itch_book
        import itchcpp
    else:
        task, package, day = sys.argv[1:]
        took, rows = TASKS[task, package](day)
        print(took)
        for row in sorted(rows):
            print(*row)
