from dataclasses import is_dataclass

from experiments.config_store import TASKS, data_sets, mask_generators, papers, targets


def test_files_are_the_options():
    assert {"colorful", "deep_colorization", "scene_parser", "context_encoder"} <= papers().keys()
    assert {"photos", "synthetic", "folder", "imagenet", "places", "sun", "sun_outdoor"} <= data_sets().keys()
    generators = {"centre", "rectangle", "random_blocks", "random_region", "free_form", "text_overlay", "scratches"}
    assert generators | {"from_folder", "inset", "mixture"} == mask_generators().keys()


def test_everything_that_can_be_named_has_settings_and_a_task():
    assert all(is_dataclass(cls.Config) for _, cls in papers().values())
    assert {task for task, _ in papers().values()} == set(TASKS)
    assert all(is_dataclass(cls.Config) for cls in data_sets().values())


def test_only_the_projects_classes_can_be_built():
    assert all(path.startswith(("lightning_modules.", "datamodules.")) for path in targets())
