"""Decodes ITCH 5.0 files with other people's packages, to compare them with ours.

itch_referees.py fields PACKAGE DAY ROWS   compares each field of each message of the file DAY with
                                           the line of the file ROWS; PACKAGE is itchfeed or itchcpp
itch_referees.py books DAY BOOKS           compares books with those of itch-book
"""

import json
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
        if next(lines, None) is not None:
            sys.exit(f"{package} found {compared} messages and we have more")
    print(compared, "".join(sorted(letters)))


if __name__ == "__main__":
    compare_fields(*sys.argv[2:])
