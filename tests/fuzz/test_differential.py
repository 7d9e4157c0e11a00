"""Both builds and the plain rules, on the same random streams, cut at the same random places.

Whatever a peer sends, each build takes the same messages from it as the rules read aloud, names the rule that was
broken, and answers with the same close code.

In the plain build there is one build, and it is compared with the reference alone.
"""

import collections
import os
import random

from fuzzing.builds import builds
from fuzzing.differential import check_seed

STREAMS = 150


def test_both_builds_do_what_the_rules_say():
    start = int(os.environ.get("ANYWS_FUZZ_SEED", random.randrange(2**32)))
    every = builds()
    print(f"ANYWS_FUZZ_SEED={start}, builds:", *(build.name for build in every))
    ends = collections.Counter()
    for seed in range(start, start + STREAMS):
        try:
            reference = check_seed(every, seed)
        except BaseException:
            print(f"again with ANYWS_FUZZ_SEED={seed}")
            raise
        ends.update(reference.rules or {reference.close and "close frame"})
    # Half of them break a rule, and of those each in its own way, or the streams say little.
    assert len(ends) > 6
    assert ends[None] > STREAMS // 10
