"""A plan's shards as tasks of Spark.

spark-submit docs/templates/spark_batch.py s3://bucket/batch
"""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession

from ecg_hough.batch.lineage import PageReader
from ecg_hough.batch.plan import load_plan
from ecg_hough.batch.reader import digitizer_of
from ecg_hough.batch.shard import work


def run_on_spark(spark: SparkSession, root: str, read: PageReader | None = None) -> int:
    """Do the shards of a plan that are not done; the number of their pages."""
    plan = load_plan(root)
    reader = read or digitizer_of(plan.options)
    todo = sorted(set(range(len(plan.parts))) - plan.done())
    if not todo:
        return 0
    # A task a shard: what is lost with a machine is one shard, which Spark does again.
    shards = spark.sparkContext.parallelize(todo, len(todo))
    return sum(shards.map(lambda shard: work(plan, shard, reader)["rows"]).collect())


if __name__ == "__main__":
    session = SparkSession.builder.appName("ecg-hough").config("spark.task.maxFailures", "10").getOrCreate()
    print(run_on_spark(session, sys.argv[1]), "pages read")
