"""The change log: nothing is left out, whoever writes, and its order is the order of commits."""

import threading

import psycopg
import pytest
from django.db import connection, transaction

from accounts.models import ApiKey, ApiKeySecret, ChangeLog, Membership, Organization, Project

Row = tuple[str, int, int | None]


def test_a_change_through_the_orm_is_logged(project: Project) -> None:
    ChangeLog.objects.all().delete()
    project.name = "Renamed"
    project.save()
    assert _rows() == [("project", project.pk, project.organization_id)]


def test_a_change_of_many_rows_in_sql_logs_each(acme: Organization, project: Project) -> None:
    Project.objects.create(organization=acme, slug="second", name="Second")
    ChangeLog.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE project SET archived_at = now()")
    assert {kind for kind, _, _ in _rows()} == {"project"}
    assert len(_rows()) == 2


def test_an_insert_and_a_delete_are_logged(acme: Organization) -> None:
    ChangeLog.objects.all().delete()
    extra = Project.objects.create(organization=acme, slug="extra", name="Extra")
    number = extra.pk
    extra.delete()
    assert _rows() == [("project", number, acme.pk)] * 2


def test_saving_a_row_as_it_is_logs_nothing(project: Project) -> None:
    ChangeLog.objects.all().delete()
    project.save()
    assert _rows() == []


def test_a_secret_is_logged_under_its_key(project: Project) -> None:
    key = _make_key(project)
    ChangeLog.objects.all().delete()
    ApiKeySecret.objects.create(key=key, mac=b"m" * 32, pepper_version=1)
    assert _rows() == [("api_key_secret", key.pk, project.organization_id)]


def test_a_new_digest_alone_is_a_change(project: Project) -> None:
    secret = ApiKeySecret.objects.create(key=_make_key(project), mac=b"m" * 32, pepper_version=1)
    ChangeLog.objects.all().delete()
    ApiKeySecret.objects.filter(pk=secret.pk).update(mac=b"n" * 32)
    assert len(_rows()) == 1


def test_a_row_that_moves_to_another_parent_is_logged_under_both(project: Project) -> None:
    first, second = _make_key(project), _make_key(project)
    secret = ApiKeySecret.objects.create(key=first, mac=b"m" * 32, pepper_version=1)
    ChangeLog.objects.all().delete()
    ApiKeySecret.objects.filter(pk=secret.pk).update(key=second)
    assert {number for _, number, _ in _rows()} == {first.pk, second.pk}


def test_what_is_rolled_back_is_not_logged(project: Project) -> None:
    ChangeLog.objects.all().delete()
    with transaction.atomic():
        Project.objects.update(name="Renamed")
        transaction.set_rollback(True)
    assert _rows() == []


@pytest.mark.django_db(transaction=True)
def test_the_second_to_commit_has_the_higher_number_and_is_never_skipped(
    project: Project, dsn: str
) -> None:
    # Without the lock the second writer drew its number first and committed last: a reader that
    # had seen the other one by then skipped it for good.
    seen: list[int] = []
    with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second:
        first.execute("UPDATE project SET name = 'first'")
        late = threading.Thread(
            target=lambda: second.execute("UPDATE organization SET name = 'second'")
        )
        late.start()
        late.join(0.3)
        assert late.is_alive(), "the second writer has to wait for the first to commit"
        first.commit()
        late.join(10)
        seen.append(_head())
        second.commit()
        seen.append(_head())
    assert seen[1] > seen[0]
    assert ChangeLog.objects.get(seq=seen[0]).kind == "project"
    assert ChangeLog.objects.get(seq=seen[1]).kind == "organization"


@pytest.mark.django_db(transaction=True)
def test_writers_who_touch_the_same_rows_in_opposite_order_do_not_deadlock(
    project: Project, dsn: str
) -> None:
    # The turn is taken before any row lock: taken in the row trigger, this is a deadlock.
    errors: list[Exception] = []

    def write(*statements: str) -> None:
        try:
            for _ in range(20):
                with psycopg.connect(dsn) as writer:
                    for statement in statements:
                        writer.execute(statement)
        except psycopg.Error as error:
            errors.append(error)

    one = "UPDATE project SET name = md5(random()::text)"
    other = "UPDATE organization SET name = md5(random()::text)"
    threads = [threading.Thread(target=write, args=order) for order in ((one, other), (other, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


@pytest.mark.django_db(transaction=True)
def test_listeners_are_told_at_the_commit(project: Project, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("LISTEN tollgate_changes")
        Membership.objects.update(role="viewer")
        assert [note.channel for note in listener.notifies(timeout=5, stop_after=1)] == [
            "tollgate_changes"
        ]


def _rows() -> list[Row]:
    return list(ChangeLog.objects.order_by("seq").values_list("kind", "object_id", "organization"))


def _head() -> int:
    return ChangeLog.objects.latest("seq").seq


def _make_key(project: Project) -> ApiKey:
    return ApiKey.objects.create(
        public_id=f"{ApiKey.objects.count():012}",
        organization=project.organization,
        project=project,
        name="key",
    )
