"""Chat templates: the text that transformers renders, where they come from, and those that do not behave."""

import json

import pytest

from wsekern.errors import InputError
from wsekern.workload.text import chat
from wsekern.workload.text.chat import ChatTemplate, load_template

MESSAGES = [{"role": "system", "content": "Say <little> & \"well\"."}, {"role": "user", "content": "Grüß dich"},
            {"role": "assistant", "content": "Hello "}, {"role": "user", "content": "And?"}]
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
TEMPLATES = {
    "chatml": CHATML,
    "instructions": """{{ bos_token }}
    {%- for message in messages %}
        {%- if message.role == 'user' %}
            {{- '[INST] ' ~ message.content | trim ~ ' [/INST]' }}
        {%- elif message.role == 'assistant' %}
            {{- ' ' + message.content + eos_token }}
        {%- else %}
            {%- continue %}
        {%- endif %}
    {%- endfor %}""",
    "blocks": """{% set ns = namespace(count=0) %}
    {% for message in messages if message.role != 'system' %}
    {% set ns.count = ns.count + 1 %}
    {% generation %}
    {% set ns.count = ns.count + 1 %}{% set inner = 5 %}
    {{ message | tojson }} {{ dict(a=ns.count, b=[1, 2])|tojson(indent=2) }} {{ tools is none }}
    {% endgeneration %}
    {{ inner is defined }}
    {% if loop.last %}{% break %}{% endif %}
    {% endfor %}""",
    "macros": "{% macro show(m) %}{{ m.role.upper()[:2] }}:{{ m.content.split(' ')[-1].strip('?') }}{% endmacro %}"
              "{{ messages | map(attribute='role') | join(',') }}{% for m in messages[::-1] %}{{ show(m) }}{% endfor %}",
}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("continued", [True, False])
def test_the_text_is_that_of_transformers(name, continued):
    tools = pytest.importorskip("transformers.utils.chat_template_utils")
    theirs, _ = tools.render_jinja_template([MESSAGES], chat_template=TEMPLATES[name], add_generation_prompt=continued,
                                            **SPECIAL)
    ours = ChatTemplate(source=TEMPLATES[name], where="here", special=SPECIAL).render(MESSAGES, continued)
    assert ours == theirs[0] and len(ours) > 20


def test_the_date_is_there():
    assert len(ChatTemplate(source="{{ strftime_now('%d %b %Y') }}", where="here").render([])) == 11


@pytest.mark.parametrize(("source", "words"), [
    ("{% for", "line 1"),
    ("{{ raise_exception('Only user\nand assistant!') }}", "Only user and assistant!"),
    ("{{ ''.__class__.__mro__ }}", "unsafe"),
    ("{{ messages.append(1) }}", "unsafe"),
    ("{{ namespace(_x=1) }}", "_x"),
    ("{% set n = namespace() %}{% set n.__class__ = 1 %}", "__class__"),
    ("{{ dict.__init__ }}{{ dict.mro() }}", "mro"),
    ("{{ a.b }}", "'a' is undefined"),
    ("{{ 1 / 0 }}", "ZeroDivisionError"),
    ("{% include 'passwd' %}", "no loader"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
    ("{{ 'a' * 10**12 }}", "MB"),
    ("{% set n = namespace(s='aaaa') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}", "MB"),
    ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "did not end within 1 seconds"),
])
def test_what_a_template_must_not_do_is_one_sentence(monkeypatch, source, words):
    monkeypatch.setattr(chat, "SECONDS", 1)
    monkeypatch.setattr(chat, "MEGABYTES", 128)
    with pytest.raises(InputError) as error:
        ChatTemplate(source=source, where="folder/chat_template.jinja").render(MESSAGES)
    assert words in str(error.value) and "\n" not in str(error.value) and "folder/chat_template.jinja" in str(error.value)


def test_a_file_of_its_own_wins(tmp_path):
    assert load_template(tmp_path, {}) is None
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "last"}))
    assert load_template(tmp_path, {}).source == "last"
    several = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "named"}]
    for given, source in ((several, "named"), ("single", "single")):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": given}))
        assert load_template(tmp_path, SPECIAL).source == source
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}first")
    assert load_template(tmp_path, SPECIAL).render([]) == "<s>first"


@pytest.mark.parametrize(("given", "words"), [(3, "'3'"), ([1], "chat_template"),
                                              ([{"name": "tool_use", "template": "x"}], "tool_use")])
def test_no_template_among_those_given(tmp_path, given, words):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": given}))
    with pytest.raises(InputError, match=r"tokenizer_config\.json") as error:
        load_template(tmp_path, {})
    assert words in str(error.value)


def test_a_template_that_is_no_text(tmp_path):
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not text in UTF-8"):
        load_template(tmp_path, {})
