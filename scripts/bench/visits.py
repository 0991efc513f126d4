"""What `make bench` has measured so far, kept in a file, so that one that was stopped goes on where it was.

A visit is one run of one program, named by what it measures. The commands, versions and failures that came with it are kept
too, for they stand on the page."""
import datetime
import json
import os

import page


class Visits:
    def __init__(self, path, subject):
        """`subject` says what is measured and how; the visits of a file with any other subject count for nothing."""
        self.path, self.days = path, []  # the days of all visits, in their order
        head, *kept = self.lines() or [None]
        if head != {"subject": subject}:
            kept = []
        self.subject, self.used = subject, set()
        self.kept = {line["name"]: line for line in kept}
        self.write()

    def lines(self):
        """Up to the first that was not written to its end."""
        found = []
        try:
            with open(self.path) as f:
                for text in f:
                    found.append(json.loads(text))
        except (FileNotFoundError, ValueError):
            pass
        return found

    def write(self):
        with open(self.path + ".tmp", "w") as f:
            f.writelines(json.dumps(line) + "\n" for line in [{"subject": self.subject}, *self.kept.values()])
        os.rename(self.path + ".tmp", self.path)

    def once(self, name, work):
        """What work() returns, now or before the bench was stopped. What came to nothing (None) is tried again."""
        line = self.kept.get(name) or self.make(name, work)
        self.used.add(name)
        page.commands += [command for command in line["commands"] if command not in page.commands]
        page.failures.update({what: command for what, command in line["failures"].items() if what not in page.failures})
        page.versions.update(line["versions"])
        if line["day"] not in self.days:
            self.days.append(line["day"])
        return line["result"]

    def make(self, name, work):
        """Does the work with nothing on the page, so that what it leaves there is its own."""
        facts = (page.commands, page.failures, page.versions)
        before = [fact.copy() for fact in facts]
        for fact in facts:
            fact.clear()
        line = {"name": name, "day": f"{datetime.date.today():%-d %B %Y}", "result": work()}
        line |= dict(zip(("commands", "failures", "versions"), (fact.copy() for fact in facts)))
        page.commands[:] = before[0]
        for fact, old in zip(facts[1:], before[1:]):
            fact.clear()
            fact.update(old)
        if line["result"] is not None:
            with open(self.path, "a") as f:
                f.write(json.dumps(line) + "\n")
            self.kept[name] = line
        return line

    def done(self):
        """All that was asked for is on the page: next time it is measured anew."""
        self.kept = {name: line for name, line in self.kept.items() if name not in self.used}
        self.write()
