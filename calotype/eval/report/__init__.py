"""Runs and published curves to one report: HTML, CSV, Markdown, SVG.

    run.json ... --read_run-->  Run  ---\\
                                         assemble() --> Report (plain JSON) --> html / tables / svg
    curve.json ... --read_published-> Published --/          ^
    kept pictures  ----------------- crops ------------------'
"""
