"""The package alone: what comes out is what `tagbert enrich` writes, whatever way the rows come in."""

import gc
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import unittest
import warnings
import os

import pyarrow as pa
import pyarrow.compute as pc

import rows
import tagbert


def tagger(settings=None, **options):
    return tagbert.Tagger(rows.MODEL, **{"text": "body", "settings": {**rows.EXACT, **(settings or {})}, **options})


class Tags(unittest.TestCase):
    def test_they_are_those_of_enrich_to_the_last_bit_and_in_columns_of_its_types(self):
        for options, flat in [((), False), (("--flat",), True)]:
            with self.subTest(flat=flat):
                expected = rows.enriched(300, *options)
                tagged = tagger(flat=flat, errors="raise").tag(rows.table())
                self.assertEqual(tagged.schema.remove_metadata(), expected.schema.remove_metadata())
                self.assertTrue(tagged.equals(expected))

    def test_each_row_has_its_own_tags_in_full_batches(self):
        expected = rows.tags(rows.enriched(300))
        tagged = rows.tags(tagbert.Tagger(rows.MODEL, text="body").tag(rows.table()))
        self.assertEqual([row for row, tags in tagged.items() if not rows.is_near(tags, expected[row])], [])

    def test_all_other_columns_come_out_as_they_went_in(self):
        class Point(pa.ExtensionType):
            def __init__(self):
                super().__init__(pa.int64(), "test.point")

            def __arrow_ext_serialize__(self):
                return b""

            @classmethod
            def __arrow_ext_deserialize__(cls, storage, serialized):
                return cls()

        batch = rows.table(12).combine_chunks().to_batches()[0]
        strange = {
            "point": pa.ExtensionArray.from_storage(Point(), pa.array(range(12))),
            "runs": pa.RunEndEncodedArray.from_arrays(pa.array([5, 12], pa.int32()), pa.array(["a", "b"])),
            "views": pa.array([b"x"] * 12, pa.binary_view()),
            "decimal": pa.array([1] * 12, pa.decimal256(50, 3)),
            "when": pa.array([1] * 12, pa.timestamp("ns", "Europe/Berlin")),
            "dense": pa.UnionArray.from_dense(pa.array([0] * 12, pa.int8()), pa.array(range(12), pa.int32()), [pa.array(range(12))]),
        }
        for name, column in strange.items():
            batch = batch.append_column(pa.field(name, column.type, metadata={"of": name}), column)
        batch = batch.replace_schema_metadata({"pandas": "{}"})
        tagged = tagger().tag(batch)
        self.assertEqual(tagged.select(batch.schema.names).schema, batch.schema)
        self.assertEqual(tagged.schema.metadata, batch.schema.metadata)
        for name in batch.schema.names:
            self.assertTrue(tagged.column(name).equals(batch.column(name)), name)
            addresses = [[b and b.address for b in column.column(name).buffers()] for column in (batch, tagged)]
            self.assertEqual(*addresses, f"{name} was copied")

    def test_text_of_every_kind_is_the_same_text(self):
        texts = list(rows.texts(60))
        expected = tagger().tag(pa.record_batch({"body": pa.array(texts, pa.string())})).column("tags")
        kinds = [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string())]
        for kind in kinds:
            with self.subTest(kind=kind):
                column = pa.array(texts, pa.string())
                column = column.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else column.cast(kind)
                self.assertTrue(tagger().tag(pa.record_batch({"body": column})).column("tags").equals(expected))
        nested = pa.StructArray.from_arrays([pa.array(texts)], ["body"], mask=pa.array([number % 7 == 0 for number in range(60)]))
        of_nested = tagger(text="/mail/body").tag(pa.record_batch({"mail": nested})).column("tags")
        expected = [None if number % 7 == 0 else rows.nameless(tag) for number, tag in enumerate(expected.to_pylist())]
        self.assertEqual([rows.nameless(tag) for tag in of_nested.to_pylist()], expected)
        nothing = tagger().tag(pa.record_batch({"body": pa.nulls(3)}))
        self.assertEqual(nothing.column("tags").null_count, 3)

    def test_a_slice_has_the_tags_of_its_own_rows(self):
        batch = rows.table(200).combine_chunks().to_batches()[0]
        whole = tagger().tag(batch)
        for start, length in [(0, 7), (1, 1), (13, 60), (199, 1), (100, 0), (63, 130)]:
            part = tagger().tag(batch.slice(start, length))
            self.assertTrue(part.equals(whole.slice(start, length)), (start, length))
        # Its buffers are of the whole; and so are those of what is made of them.
        parts = pa.Table.from_batches([tagger().tag(batch.slice(start, 50)) for start in range(0, 200, 50)]).combine_chunks()
        self.assertTrue(parts.equals(pa.Table.from_batches([whole])))

    def test_a_table_of_many_chunks_and_of_none(self):
        whole = rows.table(100)
        chunks = pa.concat_tables([whole.slice(0, 10), whole.slice(10, 0), whole.slice(10, 90)])
        self.assertTrue(tagger().tag(chunks).equals(tagger().tag(whole)))
        for nothing in (whole.slice(0, 0), whole.schema.empty_table(), whole.schema.empty_table().to_batches(), pa.table({"body": pa.chunked_array([], pa.string())})):
            for empty in nothing if isinstance(nothing, list) else [nothing]:
                tagged = tagger().tag(empty)
                self.assertEqual((tagged.num_rows, tagged.schema), (0, tagger().schema(empty.schema)))

    def test_buffers_that_are_not_aligned(self):
        array = pa.array(["WIN a FREE prize!!! Click here now", "ok see you", None])
        shifted = [b and pa.py_buffer(b"\0" + b.to_pybytes()).slice(1) for b in array.buffers()]
        odd = pa.Array.from_buffers(pa.string(), 3, shifted)
        self.assertNotEqual(odd.buffers()[1].address % 4, 0, "nothing is proven")
        expected = tagger().tag(pa.record_batch({"body": array})).column("tags")
        self.assertTrue(tagger().tag(pa.record_batch({"body": odd})).column("tags").equals(expected))

    def test_texts_alone(self):
        tagged = tagger(text="text").tag(["WIN a FREE prize!!! Click here now", None, ""])
        self.assertEqual(tagged.schema.names, ["text", "tags", "tags_error"])
        self.assertEqual([tag and tag["spam"]["label"] for tag in tagged.column("tags").to_pylist()], ["spam", None, None])
        self.assertEqual(tagger().tag([]).num_rows, 0)
        self.assertEqual(tagger().tag(("one", "two")).num_rows, 2)

    def test_several_columns_are_one_text(self):
        batch = pa.record_batch({"subject": ["WIN", None], "body": ["a FREE prize!!!", "Click here now"]})
        both = tagger(text=["subject", "body"]).tag(batch).column("tags")
        joined = tagger(text="text").tag(["WIN\na FREE prize!!!", "Click here now"]).column("tags")
        # In the order in which they are named.
        self.assertTrue(both.equals(joined))

    def test_what_a_result_is_made_of_outlives_everything(self):
        batch = rows.table(60).combine_chunks().to_batches()[0]
        expected = tagger().tag(batch).to_pylist()
        tagged = tagger().tag(batch.slice(3, 40))
        column = tagged.column("tags").slice(5, 10)
        del batch, tagged
        gc.collect()
        waste = [tagger().tag(["other text " + str(n)]) for n in range(20)]
        del waste
        gc.collect()
        self.assertEqual(column.to_pylist(), [row["tags"] for row in expected[8:18]])


class Trouble(unittest.TestCase):
    def test_a_row_that_cannot_be_tagged_says_why_and_the_others_have_their_tags(self):
        texts = ["ok see you", rows.TOO_LARGE, None, "Paid in Berlin"]
        tagged = tagger(text="text", settings=rows.LIMIT).tag(texts)
        self.assertEqual([tag is None for tag in tagged.column("tags").to_pylist()], [False, True, True, False])
        why = tagged.column("tags_error").to_pylist()
        self.assertEqual([reason is None for reason in why], [True, False, True, True])
        self.assertRegex(why[1], r"^DocumentTooLarge: 2\d{4} bytes are over limits.document, 16384 bytes$")
        with self.assertRaisesRegex(tagbert.TagbertError, "1 of 4 rows can't be tagged, row 1 first: DocumentTooLarge"):
            tagger(text="text", settings=rows.LIMIT, errors="raise").tag(texts)

    def test_what_is_not_utf8_costs_only_its_own_row(self):
        raw = [b"ok see you", b"\xff\xfe", None, b"Paid in Berlin"]
        plain = pa.array(raw, pa.binary()).view(pa.string())
        kinds = {
            "string": plain,
            "slice": pa.array([b"\xfe", *raw, b"\xff"], pa.binary()).view(pa.string()).slice(1, 4),
            "large": pa.array(raw, pa.large_binary()).view(pa.large_string()),
            "view": pa.array(raw, pa.binary_view()).view(pa.string_view()),
            "dictionary": pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 3], pa.int32()), plain),
        }
        for kind, column in kinds.items():
            with self.subTest(kind=kind):
                tagged = tagger().tag(pa.record_batch({"body": column}))
                self.assertEqual([tag is None for tag in tagged.column("tags").to_pylist()], [False, True, True, False])
                self.assertEqual([bool(why) for why in tagged.column("tags_error").to_pylist()], [False, True, False, False])
                self.assertTrue(tagged.column("body").cast(pa.large_binary()).equals(column.cast(pa.large_binary())), "it stays")
        below_null = pa.Array.from_buffers(pa.string(), 4, [pa.py_buffer(b"\x0d"), *plain.buffers()[1:]], null_count=1)
        tagged = tagger().tag(pa.record_batch({"body": below_null}))
        self.assertEqual([tag is None for tag in tagged.column("tags").to_pylist()], [False, True, True, False])
        self.assertEqual(tagged.column("tags_error").null_count, 4)
        nested = pa.record_batch({"mail": pa.StructArray.from_arrays([plain], ["body"])})
        self.assertRaisesRegex(tagbert.TagbertError, "can't be read", tagger(text="/mail/body").tag, nested)
        two = pa.record_batch({"body": plain, "about": ["a"] * 4})
        tagged = tagger(text=["body", "about"]).tag(two)
        self.assertEqual([tag is None for tag in tagged.column("tags").to_pylist()], [False, True, False, False], "no half of a text")
        tagged = tagger().tag(["fine", "half \ud83d of a pair"])
        self.assertEqual([bool(why) for why in tagged.column("tags_error").to_pylist()], [False, True])

    def test_what_is_wrong_with_a_table_is_said_by_name(self):
        batch = pa.record_batch({"id": [1], "body": ["x"], "About": ["y"]})
        for options, what in [
            ({"text": "subject"}, "no column `subject`, but id, body, About"),
            ({"text": "id"}, "column `id` is Int64, and no text"),
            ({"text": "/body/x"}, r"no column `body\.x`"),
            ({"tags": "about"}, "there is a column `about` already: `tags` names"),
        ]:
            with self.subTest(options=options):
                self.assertRaisesRegex(tagbert.TagbertError, what, tagger(**options).tag, batch)
        twice = pa.RecordBatch.from_arrays([pa.array(["a"]), pa.array(["b"])], ["body", "body"])
        self.assertRaisesRegex(tagbert.TagbertError, "more than one column `body`", tagger().tag, twice)

    def test_what_is_no_table_is_refused(self):
        for wrong in ("a text", b"bytes", 7, {"body": ["x"]}, None, pa.array(["x"])):
            self.assertRaisesRegex(TypeError, "RecordBatch", tagger().tag, wrong)
        self.assertRaisesRegex(TypeError, "text 1 is no str", tagger().tag, ["x", 7])
        self.assertRaisesRegex(TypeError, "`text` names 2", tagger(text=["a", "b"]).tag, ["x"])

    def test_settings_are_heeded_or_refused(self):
        for options, what in [
            ({"settings": {"model.sesions": 1}}, "sesions"),
            ({"settings": {"limits.document": "much"}}, "limits.document"),
            ({"settings": {"output.scores": "all"}}, "output.scores"),
            ({"settings": {"input.lenient": True}}, "input.lenient"),
            ({"variant": "int3"}, "int3"),
            ({"config": "/nowhere.yaml"}, "/nowhere.yaml"),
        ]:
            with self.subTest(options=options):
                self.assertRaisesRegex(tagbert.TagbertError, what, tagger(**options).load)
        self.assertRaisesRegex(ValueError, "errors", tagger, errors="ignore")
        self.assertRaises(TypeError, tagbert.Tagger)
        self.assertRaisesRegex(tagbert.TagbertError, "/no/model", tagbert.Tagger("/no/model").load)
        self.assertRaisesRegex(tagbert.TagbertError, "two slashes", tagbert.Tagger("hf:owner/name").load)
        strict = tagger(text="text", settings={"model.thresholds.spam": 1.0, "model.thresholds.ham": 1.0})
        self.assertIsNone(strict.tag(["WIN a FREE prize!!! Click here now"]).column("tags")[0].as_py()["spam"]["label"])


class Process(unittest.TestCase):
    def test_taggers_of_one_model_share_it(self):
        before = resident()
        many = [tagger(text=text, tags=f"tags{text}", flat=flat) for text in ("a", "b", "c") for flat in (False, True)]
        for one in many:
            one.tag(pa.record_batch({name: ["x"] for name in "abc"}))
        self.assertLess(resident() - before, 25 << 20, "bytes for six taggers of a model that was loaded before")

    def test_other_threads_run_meanwhile(self):
        counted, stop = [0], threading.Event()

        def count():
            while not stop.is_set():
                counted[0] += 1
                time.sleep(0.001)

        warm = tagger(settings={"cache.size": 0}).load()
        thread = threading.Thread(target=count)
        thread.start()
        counted[0], began = 0, time.monotonic()
        warm.tag(rows.table(3000))
        took, during = time.monotonic() - began, counted[0]
        stop.set()
        thread.join()
        self.assertGreater(during, took / 0.05, f"turns of another thread in {took:.1f} s")

    def test_many_threads_get_their_own_tags(self):
        batches = [batch for n in range(6) for batch in rows.table(50 + 40 * n).combine_chunks().to_batches()]
        expected = [tagger().tag(batch) for batch in batches]
        results = [None] * len(batches)

        def tag(place):
            results[place] = tagger(settings={"cache.size": 0}).tag(batches[place])

        threads = [threading.Thread(target=tag, args=(place,)) for place in range(len(batches))]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        for result, wanted in zip(results, expected):
            self.assertTrue(result.equals(wanted))

    def test_it_is_pickled_as_what_it_is_made_of(self):
        one = tagger(flat=True, settings={"model.sessions": 1}).load()
        other = pickle.loads(pickle.dumps(one))
        self.assertLess(len(pickle.dumps(one)), 1000)
        self.assertTrue(one.tag(rows.table(20)).equals(other.tag(rows.table(20))))

    def test_a_process_of_another_environment_refuses_it(self):
        os.environ["TAGBERT__MODEL__MAX_TOKENS"] = "16"
        try:
            pickled = pickle.dumps(tagger())
            pickle.loads(pickled)
        finally:
            del os.environ["TAGBERT__MODEL__MAX_TOKENS"]
        self.assertRaisesRegex(tagbert.TagbertError, "^TAGBERT__MODEL__MAX_TOKENS: set where", pickle.loads, pickled)

    def test_a_process_of_one_variable_more_refuses_it(self):
        pickled = pickle.dumps(tagger())
        os.environ["TAGBERT__MODEL__MAX_TOKENS"] = "16"
        try:
            self.assertRaisesRegex(tagbert.TagbertError, "^TAGBERT__MODEL__MAX_TOKENS: set", pickle.loads, pickled)
        finally:
            del os.environ["TAGBERT__MODEL__MAX_TOKENS"]

    def test_a_path_is_the_same_elsewhere(self):
        here = os.getcwd()
        try:
            os.chdir(rows.ROOT)
            one = tagbert.Tagger("models/tagbert-tiny")
            os.chdir("/")
            self.assertEqual(one.tag(["x"]).num_rows, 1)
        finally:
            os.chdir(here)

    def test_a_fork_works_in_parent_and_child_whoever_has_tagged_before(self):
        expected = tagger().tag(rows.table(40))
        for level in range(2):
            with self.subTest(level=level):
                self.assertEqual(fork(lambda: tagger().tag(rows.table(40)).equals(expected)), 0)
                self.assertTrue(tagger().tag(rows.table(40)).equals(expected))

        def grandchild():
            return tagger().tag(rows.table(40)).equals(expected) and fork(lambda: tagger().tag(rows.table(40)).equals(expected)) == 0

        self.assertEqual(fork(grandchild), 0)

    def test_a_fork_while_others_load_and_tag_does_not_hang(self):
        # Made before: pyarrow itself has a lock, while it looks for pandas, that a child would wait for.
        stop, table = threading.Event(), rows.table(40)

        def busy():
            number = 0
            while not stop.is_set():
                number += 1
                # A model that is loaded anew now and then.
                tagger(settings={"batch.tokens": 400 + number // 5}).tag(table)

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for _ in range(3):
                time.sleep(0.2)
                self.assertEqual(fork(lambda: tagger().tag(table).num_rows == 40), 0)
        finally:
            stop.set()
            thread.join()

    def test_a_child_that_ends_as_python_does_ends(self):
        tagger().tag(["x"])
        self.assertEqual(fork(lambda: sys.exit(0)), 0)

    def test_an_interpreter_that_has_tagged_ends_in_peace(self):
        for more in ("", "; import threading, time; threading.Thread(target=lambda: [t.tag(['x %d' % n]) for n in range(10**6)], daemon=True).start(); time.sleep(0.5)"):
            code = f"import tagbert; t = tagbert.Tagger({rows.MODEL!r}); t.tag(['x']){more}"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(more or not done.stderr, done.stderr)

    def test_ctrl_c_ends_a_long_call(self):
        code = f"""if True:
            import tagbert, time
            t = tagbert.Tagger({rows.MODEL!r}, settings={{"cache.size": 0}}).load()
            print("ready", flush=True)
            try:
                t.tag([("many words " * 200) + str(n) for n in range(20000)])
            except KeyboardInterrupt:
                print("ended", len(t.tag(["x"])), flush=True)
        """
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "ready\n")
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        self.assertEqual((out, process.returncode), ("ended 1\n", 0))

    def test_engines_are_imported_by_those_who_name_them(self):
        code = "import sys, tagbert; print([e for e in ('pyspark', 'ray', 'polars', 'duckdb', 'pandas', 'numpy') if e in sys.modules])"
        # pyarrow itself takes numpy along, if it is there.
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        self.assertIn(found.strip(), ("[]", "['numpy']"))

    def test_another_onnxruntime_in_the_process_does_no_harm(self):
        expected = tagger().tag(rows.table(30)).column("tags").to_pylist()
        for first in ("import onnxruntime, tagbert", "import tagbert; tagbert.Tagger(M).tag(['x']); import onnxruntime"):
            code = f"""if True:
                import sys
                sys.path.insert(0, {str(rows.ROOT / "python" / "tests")!r})
                M = {rows.MODEL!r}
                {first}
                import rows, tagbert
                session = onnxruntime.InferenceSession(M + "/model.onnx", providers=["CPUExecutionProvider"])
                print(tagbert.Tagger(M, text="body", settings=rows.EXACT).tag(rows.table(30)).column("tags").to_pylist() == {expected!r})
            """
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            self.assertEqual(done.stdout.strip(), "True", done.stderr[-2000:])

    def test_it_says_which_models_tagged(self):
        (model,) = tagger().models
        self.assertEqual(model["name"], "tagbert-tiny")
        self.assertTrue(re.fullmatch(r"\S{8,}", model["version"]), model)


def fork(body):
    """Does it in a forked child; its exit code, or 99 if it hangs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 98
        try:
            code = 0 if body() else 97
        except SystemExit as end:
            code = end.code
        finally:
            gc.collect()
            os._exit(code)
    for _ in range(1800):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 99


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    unittest.main()
