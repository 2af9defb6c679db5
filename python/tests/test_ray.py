"""Ray Data: the tags of `tagbert enrich`, by actors that load the model once."""

import os
import tempfile
import time
import unittest
from pathlib import Path

import pyarrow.parquet as pq
import ray

import rows
import tagbert.ray


class Counted(tagbert.ray.Tag):
    """Notes that it was made."""

    def __init__(self, notes, *args, **options):
        super().__init__(*args, **options)
        (Path(notes) / f"{os.getpid()}").write_text(str(self.tagger._of.settings))


class Asked:
    """A dataset that is tagged by another actor, which is asked for in the same way."""

    def __init__(self, dataset, by):
        self.dataset, self.by = dataset, by

    def repartition(self, **options):
        return Asked(self.dataset.repartition(**options), self.by)

    def map_batches(self, _, **options):
        return self.dataset.map_batches(self.by, **options)


class Noted(tagbert.ray._Same):
    """Notes that it has something to do, for long enough that others get something, too."""

    def __call__(self, batch):
        (Path(self.notes) / f"{os.getpid()}").touch()
        time.sleep(2)
        yield from super().__call__(batch)


class Ray(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        paths = {"PYTHONPATH": str(Path(__file__).parent)}
        # Two actors, and one that reads.
        ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": paths})
        ray.data.DataContext.get_current().enable_progress_bars = False
        cls.folder = tempfile.TemporaryDirectory()
        for part in range(4):
            pq.write_table(rows.table(1200).slice(part * 300, 300), Path(cls.folder.name) / f"{part}.parquet")

    @classmethod
    def tearDownClass(cls):
        ray.shutdown()
        cls.folder.cleanup()

    def test_rows_of_parquet_have_the_tags_of_enrich(self):
        dataset = ray.data.read_parquet(self.folder.name)
        tagged = tagbert.ray.tag(dataset, rows.MODEL, text="body", actors=1, batch_size=128, settings=rows.EXACT)
        table = arrow(tagged)
        self.assertEqual(rows.tags(table), rows.tags(rows.enriched(1200)))
        self.assertEqual(table.column("tags_error").null_count, 1200)
        self.assertEqual(rows.tags(table, "about"), rows.tags(rows.table(1200), "about"))

    def test_an_actor_loads_the_model_once_for_all_its_batches_and_takes_the_cores_it_was_given(self):
        with tempfile.TemporaryDirectory() as notes:
            dataset = ray.data.read_parquet(self.folder.name).map_batches(
                Counted,
                fn_constructor_args=(notes, rows.MODEL),
                fn_constructor_kwargs={"text": "body"},
                batch_format="pyarrow",
                batch_size=50,
                compute=ray.data.ActorPoolStrategy(size=1),
            )
            self.assertEqual(arrow(dataset).num_rows, 1200)
            (made,) = Path(notes).iterdir()
            self.assertIn("model.sessions=1", made.read_text())

    def test_actors_share_the_blocks_and_each_row_has_its_own_tags_in_full_batches(self):
        with tempfile.TemporaryDirectory() as notes:
            dataset = Asked(ray.data.read_parquet(self.folder.name), type("Noted", (Noted,), {"notes": notes}))
            table = arrow(tagbert.ray.tag(dataset, rows.MODEL, text="body", actors=2))
            self.assertEqual(len(list(Path(notes).iterdir())), 2)
        expected = rows.tags(rows.enriched(1200))
        self.assertEqual([row for row, tags in rows.tags(table).items() if not rows.is_near(tags, expected[row])], [])
        self.assertEqual(table.num_rows, 1200)

    def test_an_actor_that_would_tag_otherwise_is_none(self):
        os.environ["TAGBERT__MODEL__MAX_TOKENS"] = "16"
        try:
            tagged = tagbert.ray.tag(ray.data.read_parquet(self.folder.name), rows.MODEL, text="body", actors=1)
        finally:
            del os.environ["TAGBERT__MODEL__MAX_TOKENS"]
        with self.assertRaisesRegex(Exception, "TAGBERT__MODEL__MAX_TOKENS: set where the tagger was made"):
            tagged.count()

    def test_no_rows_and_rows_that_cannot_be_tagged(self):
        dataset = ray.data.from_items([{"body": "ok see you"}, {"body": rows.TOO_LARGE}, {"body": None}])
        tagged = tagbert.ray.tag(dataset, rows.MODEL, text="body", actors=1, settings=rows.LIMIT).take_all()
        why = {(row["body"] or "")[:2]: row["tags_error"] for row in tagged}
        self.assertEqual((len(tagged), why["ok"], why[""]), (3, None, None))
        self.assertRegex(why["wo"], "^DocumentTooLarge: ")
        nothing = ray.data.read_parquet(self.folder.name).filter(lambda row: False)
        self.assertEqual(tagbert.ray.tag(nothing, rows.MODEL, text="body", actors=1).count(), 0)


def arrow(dataset):
    import pyarrow as pa

    return pa.concat_tables(ray.get(dataset.to_arrow_refs()), promote_options="default")


if __name__ == "__main__":
    unittest.main()
