"""/users: the people of the installation, for operators. Rights of operators are given in person,
in the admin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import leaving, people
from accounts.api.fields import Fields, Nothing, Query, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from accounts.models import User
from accounts.rows import change


class PlaceOut(serializers.Serializer[Any]):
    organization = serializers.SlugField(source="organization.slug")
    member = serializers.IntegerField(source="pk", help_text="The membership's number.")
    role = serializers.CharField()


class UserOut(serializers.ModelSerializer[User]):
    is_operator = serializers.BooleanField(source="is_staff")
    memberships = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = (
            *("id", "email", "name", "is_operator", "is_active", "date_joined", "last_login"),
            "memberships",
        )

    @extend_schema_field(PlaceOut(many=True))
    def get_memberships(self, user: User) -> list[Any]:
        living = [each for each in user.memberships.all() if each.left_at is None]
        return list(PlaceOut(sorted(living, key=lambda each: each.pk), many=True).data)


class UserChange(Fields):
    name = Text(max_length=100, allow_blank=True, required=False)


class UserQuery(Query):
    active = serializers.BooleanField(required=False)
    operator = serializers.BooleanField(required=False)
    search = Text(max_length=254, required=False, help_text="Part of an address or a name.")


class UserView(View):
    # It changes with every login, which is no change of the person.
    volatile = frozenset({"last_login"})

    def find(self, user: int) -> User:
        found: User = find(with_memberships(User.objects.all()), pk=user)
        return found

    def find_matching(self, user: int) -> User:
        found = self.find(user)
        self.require_match(show_users([found])[0])
        return found


class Users(UserView):
    @extend_schema(parameters=[UserQuery], responses=page_of(UserOut))
    def get(self, request: Request) -> Response:
        self.enter_platform()
        query = self.read_query(UserQuery)
        columns = {"active": "is_active", "operator": "is_staff"}
        found = User.objects.filter(
            **{column: query[name] for name, column in columns.items() if name in query}
        )
        if "search" in query:
            part = query["search"]
            found = found.filter(Q(email__icontains=part) | Q(name__icontains=part))
        return answer_page(with_memberships(found), query, show_users)


class OneUser(UserView):
    @extend_schema(responses=UserOut)
    def get(self, request: Request, user: int) -> Response:
        self.enter_platform()
        return self.answer(show_users([self.find(user)])[0])

    @extend_schema(request=UserChange, responses=UserOut)
    def patch(self, request: Request, user: int) -> Response:
        """Change the name. The address is the person's own, who proves that they read it."""
        self.enter_platform()
        changes = self.read(UserChange)
        with self.writing():
            found = self.find_matching(user)
            change(found, changes)
        return self.answer(show_users([found])[0])


class ChangeOfUser(UserView):
    """Something that is done to a person as they are."""

    changes_one = True

    def do(self, user: User) -> None:
        raise NotImplementedError

    @extend_schema(request=Nothing, responses=UserOut)
    def post(self, request: Request, user: int) -> Response:
        self.enter_platform()
        self.read()
        with self.writing():
            self.do(self.find_matching(user))
        return self.answer(show_users([self.find(user)])[0])


class Deactivate(ChangeOfUser):
    """Shut a person out at once: sessions end, and their keys are refused."""

    def do(self, user: User) -> None:
        people.deactivate(user)


class Reactivate(ChangeOfUser):
    """Let a person in again; their keys work as before."""

    def do(self, user: User) -> None:
        people.reactivate(user)


class LogOut(ChangeOfUser):
    """End all sessions of a person, wherever they are logged in."""

    def do(self, user: User) -> None:
        leaving.end_sessions(user)


class RemoveSecondFactors(ChangeOfUser):
    """Take away the second factors of a person who lost theirs."""

    def do(self, user: User) -> None:
        people.remove_second_factors(user)


def with_memberships(users: Any) -> Any:
    return users.prefetch_related("memberships__organization")


def show_users(users: Sequence[User]) -> list[Any]:
    return list(UserOut(users, many=True).data)
