"""distributed, with workers in processes of their own: `programs/dask_cluster.py`."""

from program import PROGRAMS


def test_a_cluster(report):
    said = report(PROGRAMS / "dask_cluster.py")
    assert said["workers are like the program"] is True
    assert said["map"] == sum(number * number for number in range(200))
    assert said["fails"] == "no 3"
    assert said["cancelled"] == ["cancelled"] * 4
    assert (said["after a death"], said["new workers"]) == ("again", 1)
    assert (said["wait"], said["timeout there"]) == ([30, 0], "pending")
