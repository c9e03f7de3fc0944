"""Make results/report.html: one page of all results, also of an unfinished run.

report     writes the page; figures that are missing or outdated are drawn
describe   writes cost and provenance only, into results/report/, for `snakemake --report`
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from recam.commands.report import REPORT, experiment_in, write_report
from recam.core.errors import UserError

HERE = Path()


def main(verb: str) -> None:
    """Run the verb. Raises UserError if there are no results yet."""
    if verb == "report":
        print(write_report(HERE, REPORT))
    else:
        from recam.report.page.page import describe  # noqa: PLC0415 imports matplotlib

        describe(experiment_in(HERE))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", nargs="?", choices=["report", "describe"], default="report")
    try:
        main(parser.parse_args().verb)
    except UserError as error:
        sys.exit(f"report: {error}")
