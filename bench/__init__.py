"""Benches: one file a promise of SPEC.md, each figure beside the floor that was measured in the same run.

``python -m bench --help`` teaches. A bench is a module with a function ``run(arena)`` that gives an ``Outcome``:
figures with their floors and targets, tables, samples to draw, and what went wrong. ``arena`` is what a bench is given
(the network, the floors, the progress bar); ``caller`` is the load generator; ``figures`` is the arithmetic.

Rules
1. An absolute figure means little on another machine: what counts is its ratio to the floor of the same run.
2. Every answer is checked. One wrong answer and the bench has failed, whatever its figures say.
3. The load generator shares the cores with the network, so it is as cheap as it can be, and its share is shown.
"""
