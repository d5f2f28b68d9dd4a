"""What the provider makes and does itself: images and searches."""

from tests.conformance.harness import Talk
from tests.conformance.registry import scenario
from tests.support.scripted_model import image, text, turn, web_search


@scenario
async def images_are_generated_with_previews(talk: Talk) -> None:
    converter = talk.kit.agents.ResponseStreamConverter(partial_images=2)
    talk.answer_by_model(
        turn(image("QQ==", "Qg==", "Qw=="), text("Here", id="answer_1")),
        turn(image(id="ig_2"), text("And here", id="answer_2")),
        converter=converter,
    )
    await talk.say()
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def images_are_placed_by_the_caller(talk: Talk) -> None:
    class Converter(talk.kit.agents.ResponseStreamConverter):
        async def base64_image_to_url(
            self, image_id: str, base64_image: str, partial_image_index: int | None = None
        ) -> str:
            return f"https://images.example/{image_id}/{base64_image}/{partial_image_index}"

        def partial_image_index_to_progress(self, partial_image_index: int) -> float:
            return 0.25 + partial_image_index

    talk.answer_by_model(
        turn(image("QQ==", "Qg=="), text("Here", id="answer_1")), converter=Converter()
    )
    await talk.say()


@scenario
async def previews_without_a_number_of_them(talk: Talk) -> None:
    talk.answer_by_model(turn(image("QQ==", "Qg=="), text("Here", id="answer_1")))
    await talk.say()


@scenario
async def two_images_are_generated_at_a_time(talk: Talk) -> None:
    images = image(id="ig_1"), image(id="ig_2", result="VFdP"), text("Here", id="answer_1")
    talk.answer_by_model(turn(*images, interleaved=True))
    await talk.say()


@scenario
async def image_generation_fails(talk: Talk) -> None:
    talk.answer_by_model(turn(image("QQ==", result=None), text("Sorry", id="answer_1")))
    await talk.say()


@scenario
async def provider_searches_the_web(talk: Talk) -> None:
    talk.answer_by_model(turn(web_search("weather"), text("Sunny", id="answer_1")))
    await talk.say()
