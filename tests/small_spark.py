"""Spark settings for tables of a few rows: what costs seconds there is compiling code that then runs once.

They stand in a `spark-defaults.conf`, so that commands which a test starts get them too, and settings of our own win.
Results are the same by Spark's promise. Tests of platforms, the benchmarks and the demo run without them.
"""

from pathlib import Path

DAEMON = Path(__file__).parent / "spark_daemon"

SETTINGS = {
    # The quick compiler of the JVM alone, one thread that collects (two workers share two cores), and the classes of
    # Spark's own jars loaded unverified: most of a short run is the first run of everything.
    "spark.driver.extraJavaOptions": (
        "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
    ),
    # Plans are interpreted, not compiled to Java first.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # Python workers are forked from a daemon that has PyTorch loaded: importing it takes each of them 2 to 5 s.
    "spark.python.daemon.module": "preloaded_daemon",
    "spark.executorEnv.PYTHONPATH": str(DAEMON),
}


def write_defaults(folder: Path) -> None:
    """Makes `folder` one that SPARK_CONF_DIR can name."""
    (folder / "spark-defaults.conf").write_text("".join(f"{key} {value}\n" for key, value in SETTINGS.items()))
