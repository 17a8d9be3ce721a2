"""Only one of several workers notifies people of something."""

from concurrent.futures import ThreadPoolExecutor

from lab import study_spec
from servers import every_store

from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.claims import claim_once
from smart_tuner.store.control import Budget, request_run
from smart_tuner.store.storage import open_storage
from smart_tuner.study import open_study


@every_store
def test_one_worker_has_the_claim_until_the_study_is_submitted_again(storage_url: str) -> None:
    storage = open_storage(storage_url)
    study = open_study(storage, study_spec())
    request_run(study, Budget(2), joins=False)

    def claims(what: str, which: str = "") -> int:
        with ThreadPoolExecutor(6) as pool:
            return sum(pool.map(lambda _: claim_once(storage, study, what, which), range(6)))

    assert [claims("started"), claims("finished", "2"), claims("started"), claims("finished", "3")] == [1, 1, 0, 1]
    assert study.user_attrs[StudyAttr.CLAIMS].keys() == {"started", "finished"}
    request_run(study, Budget(3), joins=False)
    assert claims("started") == 1
    request_run(study, Budget(4), joins=True)
    assert claims("started") == 0
