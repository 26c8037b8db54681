"""The engine computes an expression anew each time, though it compiles it once."""

import pyarrow as pa

from services.scoring.engine import open_engine


def test_the_same_expression_tells_of_the_rows_there_are_now() -> None:
    with open_engine(threads=1, memory="100MB") as engine:
        for numbers in ([1, 2], [3, 4, 5]):
            held = engine.load("held", pa.table({"number": pa.array(numbers, pa.int64())}).to_reader())
            assert engine.rows(held.agg(total=held.number.sum())) == [{"total": sum(numbers)}]


def test_a_name_may_stand_for_other_columns_later() -> None:
    with open_engine(threads=1, memory="100MB") as engine:
        for column in ("first", "second"):
            held = engine.load("held", pa.table({column: pa.array([1], pa.int64())}).to_reader())
            assert engine.rows(held) == [{column: 1}]
