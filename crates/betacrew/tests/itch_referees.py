"""Other people's decoders and books of ITCH 5.0, compared with ours.

itch_referees.py check                      only whether the packages are there
itch_referees.py fields PACKAGE DAY ROWS    each message of the file DAY has the fields of its line
                                            in ROWS; PACKAGE is itchfeed or itchcpp
itch_referees.py write PACKAGE DAY OUT      writes the messages of DAY, as the package decodes and
                                            encodes them; PACKAGE is itchfeed or itchcpp
itch_referees.py books PACKAGE DAY BOOKS    the books at the moments of BOOKS are the package's;
                                            PACKAGE is itch-book or itchcpp

Each message of DAY stands behind its length of two bytes.
"""

import datetime
import itertools
import os
import sys

HEADER = ["stock_locate", "tracking_number", "timestamp"]

# The packages' attributes in the order of the bytes, behind the header.
ATTRIBUTES = {
    "S": ["event_code"],
    "R": ["stock", "market_category", "financial_status_indicator", "round_lot_size",
          "round_lots_only", "issue_classification", "issue_sub_type", "authenticity",
          "short_sale_threshold_indicator", "ipo_flag", "luld_ref", "etp_flag",
          "etp_leverage_factor", "inverse_indicator"],
    "H": ["stock", "trading_state", "reserved", "reason"],
    "Y": ["stock", "reg_sho_action"],
    "L": ["mpid", "stock", "primary_market_maker", "market_maker_mode",
          "market_participant_state"],
    "V": ["level1_price", "level2_price", "level3_price"],
    "W": ["breached_level"],
    "K": ["stock", "ipo_release_time", "ipo_release_qualifier", "ipo_price"],
    "J": ["stock", "auction_collar_reference_price", "upper_auction_collar_price",
          "lower_auction_collar_price", "auction_collar_extention"],
    "h": ["stock", "market_code", "operational_halt_action"],
    "A": ["order_reference_number", "buy_sell_indicator", "shares", "stock", "price"],
    "F": ["order_reference_number", "buy_sell_indicator", "shares", "stock", "price",
          "attribution"],
    "E": ["order_reference_number", "executed_shares", "match_number"],
    "C": ["order_reference_number", "executed_shares", "match_number", "printable",
          "execution_price"],
    "X": ["order_reference_number", "cancelled_shares"],
    "D": ["order_reference_number"],
    "U": ["order_reference_number", "new_order_reference_number", "shares", "price"],
    "P": ["order_reference_number", "buy_sell_indicator", "shares", "stock", "price",
          "match_number"],
    "Q": ["shares", "stock", "cross_price", "match_number", "cross_type"],
    "B": ["match_number"],
    "I": ["paired_shares", "imbalance_shares", "imbalance_direction", "stock", "far_price",
          "near_price", "current_reference_price", "cross_type", "variation_indicator"],
    "N": ["stock", "interest_flag"],
    "O": ["stock", "open_eligibility_status", "minimum_allowable_price",
          "maximum_allowable_price", "near_execution_price", "near_execution_time",
          "lower_price_range_collar", "upper_price_range_collar"],
}


def text(value):
    return value.decode("ascii").rstrip(" ") if isinstance(value, bytes) else str(value)


def row(message):
    """Returns the fields as one line, separated by tabs."""
    letter = message.message_type.decode("ascii")
    names = HEADER + ATTRIBUTES[letter]
    return "\t".join([letter] + [text(getattr(message, name)) for name in names])


def parser(package):
    if package == "itchcpp":
        from itchcpp.parser import MessageParser
    else:
        # Without this, itchfeed hands the work to itchcpp.
        os.environ["ITCH_NO_CPP"] = "1"
        from itch.parser import MessageParser
    return MessageParser()


def compare_fields(package, day, rows):
    compared = 0
    letters = set()
    with open(day, "rb") as file, open(rows, encoding="ascii") as lines:
        for message in parser(package).parse_file(file):
            ours = next(lines, "").rstrip("\n")
            theirs = row(message)
            if ours != theirs:
                sys.exit(f"message {compared + 1}: {package} has\n{theirs}\nwe have\n{ours}")
            compared += 1
            letters.add(theirs[0])
        # itchfeed ends at the system event "end of messages", which is the last message.
        if next(lines, None) is not None:
            sys.exit(f"{package} found {compared} messages and we have more")
    print(compared, "messages of", len(letters), "types")


def write(package, day, out):
    with open(day, "rb") as file, open(out, "wb") as copy:
        for message in parser(package).parse_file(file):
            message = message.to_bytes()
            copy.write(len(message).to_bytes(2, "big") + message)


def our_books(path):
    """Returns for each moment a list of (locate, side, levels), each level (price, shares, orders)."""
    rows = []
    with open(path, encoding="ascii") as lines:
        for line in lines:
            moment, locate, side, *numbers = line.rstrip("\n").split("\t")
            numbers = [int(number) for number in numbers]
            levels = list(zip(numbers[0::3], numbers[1::3], numbers[2::3]))
            rows.append((int(moment), int(locate), side, levels))
    return [(moment, [row[1:] for row in group])
            for moment, group in itertools.groupby(rows, key=lambda row: row[0])]


def disagree(package, moment, locate, side, theirs, ours):
    sys.exit(f"after message {moment}, stock {locate}, side {side}: "
             f"{package} has\n{theirs}\nwe have\n{ours}")


def compare_with_itch_book(day, moments):
    """Compares the best levels, up to the number that itch-book keeps."""
    import itch_book
    import numpy

    kept = 50
    feed = itch_book.open(day, date=datetime.date(2026, 1, 5), price_type="fixed")
    batches = [batch.depth for batch in feed.batches(tables=("depth",), depth=kept)]
    rows = {name: numpy.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    places = {locate: numpy.flatnonzero(rows["locate"] == locate)
              for locate in numpy.unique(rows["locate"])}
    for moment, books in moments:
        for locate, side, ours in books:
            of_stock = places.get(locate, numpy.array([], dtype=int))
            # The last change of the stock's book up to this message.
            last = numpy.searchsorted(rows["seq"][of_stock], moment, side="right") - 1
            name = "bid" if side == "B" else "ask"
            theirs = []
            for level in range(kept if last >= 0 else 0):
                price, shares, orders = (
                    int(rows[f"{name}_{what}_{level:02d}"][of_stock[last]])
                    for what in ("px", "sz", "ct")
                )
                if price:
                    theirs.append((price, shares, orders))
            if theirs != ours[:kept]:
                disagree("itch-book", moment, locate, side, theirs, ours[:kept])
    if feed.stats["rejected"] or feed.stats["missing_ref"] or feed.stats["crossed_books"]:
        sys.exit(f"itch-book complains: {feed.stats}")


def best_level(best, side):
    """Returns the best level of a side as a list, empty if the side has no order."""
    if side == "B":
        has, price, shares = best.has_bid, best.bid_price, best.bid_shares
    else:
        has, price, shares = best.has_ask, best.ask_price, best.ask_shares
    return [(round(price * 10_000), shares)] if has else []


def compare_with_itchcpp(day, moments):
    """Compares the best level of each side."""
    from itchcpp.book import BookManager

    with open(day, "rb") as file:
        data = file.read()
    ends, symbols = [0], {}
    while ends[-1] < len(data):
        start = ends[-1] + 2
        ends.append(start + int.from_bytes(data[start - 2:start], "big"))
        if data[start:start + 1] == b"R":
            locate = int.from_bytes(data[start + 1:start + 3], "big")
            symbols[locate] = data[start + 11:start + 19].decode("ascii").rstrip()
    manager = BookManager()
    for symbol in symbols.values():
        manager.track_symbol(symbol)
    done = 0
    for moment, books in moments:
        manager.process_stream(data[ends[done]:ends[moment]])
        done = moment
        for locate, side, ours in books:
            # A stock without an order yet has no book.
            book = manager.book_for_symbol(symbols[locate])
            theirs = best_level(book.bbo(), side) if book else []
            expected = [level[:2] for level in ours[:1]]
            if theirs != expected:
                disagree("itchcpp", moment, locate, side, theirs, expected)


def compare_books(package, day, books):
    moments = our_books(books)
    compare = compare_with_itchcpp if package == "itchcpp" else compare_with_itch_book
    compare(day, moments)
    print(len(moments), "moments")


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    if task == "check":
        import itch
        import itch_book
        import itchcpp
    elif task == "fields":
        compare_fields(*arguments)
    elif task == "write":
        write(*arguments)
    else:
        compare_books(*arguments)
