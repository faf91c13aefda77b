"""Where calls go: providers, our credentials there, public models and their routes.

All of it is held in memory by every gateway process (see routing.py) and watched by triggers.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models


class Protocol(models.TextChoices):
    """The wire format that a provider speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class CapField(models.TextChoices):
    """The name of the output cap in chat completions."""

    MAX_TOKENS = "max_tokens"
    MAX_COMPLETION_TOKENS = "max_completion_tokens"


class Provider(models.Model):
    """An HTTP service that answers model calls. `base_url` is what its own SDK would be given,
    with `/v1` for OpenAI's protocol and without it for Anthropic's.

    `responses` says that beside chat completions it has OpenAI's Responses, `cap_field` what it
    takes the output cap of chat completions under: '' leaves it to the caller.
    """

    name = models.SlugField(max_length=50, unique=True)
    protocol = models.CharField(max_length=10, choices=Protocol.choices)
    # Not a URLField, which refuses names without a dot: upstream.check_base_url judges it.
    base_url = models.CharField(max_length=200)
    responses = models.BooleanField(
        default=False, db_default=False, help_text="It has OpenAI's Responses too."
    )
    cap_field = models.CharField(
        max_length=24,
        choices=CapField.choices,
        blank=True,
        default="",
        db_default="",
        help_text="The only name that it takes the output cap of chat completions under, if any.",
    )
    enabled = models.BooleanField(default=True)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "provider"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Credential(models.Model):
    """Our secret at a provider, sealed (credentials.py). The newest one is used."""

    provider = models.ForeignKey(Provider, models.CASCADE, related_name="credentials")
    sealed = models.BinaryField()
    source = models.CharField(max_length=200, help_text="Where it came from, such as env:NAME.")
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "credential"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"credential {self.pk} at {self.provider}"


class Model(models.Model):
    """A public model name, with the bounds that an answer of it cannot exceed.

    The overheads are tokens that a provider may count beyond the bytes of the request body. Where
    one is empty the part has no declared bound, and a strict quota refuses it.
    """

    name = models.CharField(max_length=200, unique=True)
    aliases = ArrayField(
        models.CharField(max_length=200),
        default=list,
        db_default=[],
        blank=True,
        help_text="Other names that callers may use, separated by commas.",
    )
    retires_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Callers are told this day in advance; from then on its successor answers.",
    )
    successor = models.CharField(
        max_length=200,
        default="",
        db_default="",
        blank=True,
        help_text="The model that answers for it when it is retired; without one its calls fail.",
    )
    context_window = models.PositiveBigIntegerField(validators=[MinValueValidator(1)])
    max_output_tokens = models.PositiveBigIntegerField(validators=[MinValueValidator(1)])
    overhead_tokens = models.PositiveIntegerField(default=0)
    overhead_tokens_per_image = models.PositiveIntegerField(null=True, blank=True)
    overhead_tokens_per_audio = models.PositiveIntegerField(null=True, blank=True)
    overhead_tokens_per_file = models.PositiveIntegerField(null=True, blank=True)
    enabled = models.BooleanField(default=True)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "model"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse names that would stand for two models, and a successor that is no other model."""
        super().clean()
        others = Model.objects.exclude(pk=self.pk)
        if others.filter(aliases__contains=[self.name]).exists():
            raise ValidationError({"name": f"{self.name} is an alias of another model."})
        for alias in self.aliases:
            taken = others.filter(models.Q(name=alias) | models.Q(aliases__contains=[alias]))
            if alias == self.name or taken.exists():
                raise ValidationError({"aliases": f"{alias} is a model's name already."})
        if self.successor and not others.filter(name=self.successor).exists():
            raise ValidationError({"successor": f"{self.successor} is not another model."})


class Route(models.Model):
    """One way to serve a model. Lower priority numbers go first; equals share by weight."""

    model = models.ForeignKey(Model, models.CASCADE, related_name="routes")
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="routes")
    upstream_model = models.CharField(max_length=200)
    priority = models.PositiveSmallIntegerField(default=0)
    weight = models.PositiveSmallIntegerField(default=1)
    cap_bounds_reasoning = models.BooleanField(
        default=True,
        help_text="Off where the provider's output cap leaves reasoning unbounded, as at xAI.",
    )
    hides_reasoning = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The model may reason without being asked and show nothing of it: a caller that "
        "hangs up is charged what was held.",
    )
    only_responses = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The model has OpenAI's Responses alone: all else is translated to them.",
    )
    connect_timeout_ms = models.PositiveIntegerField(default=5_000)
    first_byte_timeout_ms = models.PositiveIntegerField(default=600_000)
    idle_timeout_ms = models.PositiveIntegerField(default=120_000)
    total_timeout_ms = models.PositiveIntegerField(default=3_600_000)
    enabled = models.BooleanField(default=True)

    class Meta:
        db_table = "route"
        ordering = ["model", "priority", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "provider", "upstream_model"], name="route_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} at {self.provider}"


class RepeatableCall(models.Model):
    """A call that came with an Idempotency-Key, for a day (see repeats/). `name` and `request` are
    digests of the key and of what was asked; `answer` is sealed, and empty where there is none to
    be given again."""

    class State(models.TextChoices):
        RUNNING = "running"
        ANSWERED = "answered"
        OVER = "over"

    organization = models.BigIntegerField()
    key = models.BigIntegerField()
    name = models.BinaryField(max_length=32)
    request = models.BinaryField(max_length=32)
    call_id = models.UUIDField()
    process = models.UUIDField()
    state = models.CharField(max_length=8, choices=State.choices, db_default=State.RUNNING)
    answer = models.BinaryField(null=True)
    made_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        db_table = "repeatable_call"
        constraints = [models.UniqueConstraint(fields=["key", "name"], name="repeatable_call_once")]
        indexes = [models.Index(fields=["made_at"], name="repeatable_call_by_time")]

    def __str__(self) -> str:
        return f"{self.call_id} ({self.state})"
