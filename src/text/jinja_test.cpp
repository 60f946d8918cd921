#include "text/jinja.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

// What is expected here was computed with Jinja 3.1 in Transformers' environment.
namespace halftone::jinja {
namespace {

using ::testing::HasSubstr;

const std::tm kNow = {.tm_hour = 12, .tm_mday = 26, .tm_mon = 6, .tm_year = 124, .tm_wday = 5};

Json variables() {
  return {{"bos_token", "<s>"},
          {"none_given", nullptr},
          {"seven", 7},
          {"list", {3, 1, 2}},
          {"map", {{"b", 1}, {"A", {1, {{"x", "y"}}}}, {"c", "<&>'\""}}},
          {"people", Json::array({{{"name", {{"first", "Ada"}}}, {"age", 36}},
                                  {{"name", {{"first", "Bob"}}}, {"age", 9}},
                                  {{"name", Json::object()}, {"age", 9}}})}};
}

std::string rendered(std::string_view source) {
  return Template("test", source).render(variables(), kNow);
}

std::string error_of(std::string_view source) {
  try {
    return "no error, but " + rendered(source);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    return error.what();
  }
}

TEST(Jinja, WorkedExample) {
  // ChatML in four lines: the blocks alone on their lines leave nothing, the output's line break
  // stays.
  const Template chat("chatml", R"({{ bos_token }}
{%- for message in messages %}
<|{{ message.role }}|>{{ message['content'] | trim }}{{ '' if loop.last else ' ' }}
{% endfor %}
)");
  const Json messages = {{{"role", "user"}, {"content", " Hi "}},
                         {{"role", "assistant"}, {"content", "Hello\n"}}};
  EXPECT_EQ(chat.render({{"bos_token", "<s>"}, {"messages", messages}}, kNow),
            "<s><|user|>Hi \n<|assistant|>Hello\n");
}

TEST(Jinja, TakesWhiteSpaceAsTrimBlocksAndLstripBlocksDo) {
  EXPECT_EQ(rendered("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(rendered("a {%- if true -%}  b  {%- endif +%}\nc"), "ab\nc");
  EXPECT_EQ(rendered("  {%+ if true %}x{% endif %}\n\n y"), "  x\n y");
  EXPECT_EQ(rendered("{# c #}\nx\n  {# c #}  \n{#- c -#}  y"), "x\ny");
  EXPECT_EQ(rendered("{{ 1 -}}  \n x {{- 2 }}  {{ 3 }}\n"), "1x2  3");
  EXPECT_EQ(rendered("x  {% set a = 1 %}  \n  {% set b = 1 %}\r\n  z"), "x    \n  z");
  EXPECT_EQ(rendered("{{ '{{ }} {% %}' }} } %} #}"), "{{ }} {% %} } %} #}");
}

TEST(Jinja, BindsOperatorsAsJinjaDoes) {
  EXPECT_EQ(rendered("{{ 1 + 2 * 3 }} {{ 2 ** 3 ** 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 4 / 2 }}"),
            "7 64 -4 2 2.0");
  EXPECT_EQ(rendered("{{ -1|abs }} {{ 'a' ~ 1 * 2 }} {{ not 1 == 2 }} {{ 1 < 2 < 3 }}"),
            "1 a2 True True");
  EXPECT_EQ(rendered("{{ not seven is string }} {{ seven is odd and 'b' not in ['a'] }}"),
            "True True");
  EXPECT_EQ(rendered("{{ 1 if '' else 2 if 0 else 3 }}{{ 4 if false }}{{ '' or 'x' }}"), "3x");
  EXPECT_EQ(rendered("{{ list|length - 1 }} {{ 'a' 'b' }} {{ (1, 2)[1] }} {{ [1] + [2] }}"),
            "2 ab 2 [1, 2]");
}

TEST(Jinja, WritesValuesAsPythonDoes) {
  EXPECT_EQ(
      rendered("{{ true }} {{ none }} {{ 2.5 }} {{ 1e16 }} {{ 0.00001 }} {{ 1e15 }} {{ -0.0 }}"),
      "True None 2.5 1e+16 1e-05 1000000000000000.0 -0.0");
  EXPECT_EQ(rendered("{{ map }}"), R"({'b': 1, 'A': [1, {'x': 'y'}], 'c': '<&>\'"'})");
  EXPECT_EQ(rendered(R"({{ ["it's", "a\n\x00é\u2028", (1,)] }})"),
            R"(["it's", 'a\n\x00é\u2028', (1,)])");
  EXPECT_EQ(rendered("{{ map|tojson }}"), R"({"b": 1, "A": [1, {"x": "y"}], "c": "<&>'\""})");
  EXPECT_EQ(rendered("{{ list|tojson(indent=2) }}"), "[\n  3,\n  1,\n  2\n]");
  EXPECT_EQ(rendered("{{ {'é': 1}|tojson(ensure_ascii=true, separators=(',', ':')) }}"),
            R"({"\u00e9":1})");
}

TEST(Jinja, TellsNoneFromUndefined) {
  EXPECT_EQ(rendered("{{ none_given }}|{{ nothing }}|{{ nothing|default('d') }}|"
                     "{{ none_given|d('d') }}|{{ none_given|d('d', true) }}"),
            "None||d|None|d");
  EXPECT_EQ(rendered("{{ none_given is defined }} {{ nothing is defined }} {{ map.zz is none }} "
                     "{{ nothing == none }} {{ nothing|length }} {{ none_given.x is undefined }}"),
            "True False False False 0 True");
  EXPECT_THAT(error_of("\n{{ nothing.x }}"), HasSubstr("test: line 2: 'nothing' is undefined"));
}

TEST(Jinja, Loops) {
  EXPECT_EQ(rendered("{% for x in list if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }}"
                     "{{ ',' if not loop.last }}{% endfor %}"),
            "1/2:3,2/2:2");
  EXPECT_EQ(rendered("{% for k, v in map.items() %}{{ k }}={{ v }};{% endfor %}"
                     "{% for x in [] %}{% else %}none{% endfor %}"),
            "b=1;A=[1, {'x': 'y'}];c=<&>'\";none");
  EXPECT_EQ(
      rendered("{% for x in list %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}"),
      "<3>1 3<1>2 1<2> ");
  EXPECT_EQ(rendered("{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}"
                     "{% if x > 3 %}{% break %}{% endif %}{{ x }}{% endfor %}"),
            "013");
  // What is set within a loop is gone behind it, but not in a namespace.
  EXPECT_EQ(rendered("{% set ns = namespace(n=0) %}{% set n = 0 %}{% for x in list %}"
                     "{% set n = n + x %}{% set ns.n = ns.n + x %}{% endfor %}{{ n }} {{ ns.n }}"),
            "0 6");
}

TEST(Jinja, MacrosAndBlocks) {
  EXPECT_EQ(
      rendered("{% macro m(a, b='B', c=a) %}[{{ a }}{{ b }}{{ c }}{{ bos_token }}]{% endmacro %}"
               "{{ m(1) }}{{ m(1, c=3) }}{{ m() }}"),
      "[1B1<s>][1B3<s>][B<s>]");
  EXPECT_EQ(rendered("{% set x | trim | upper %} a{{ seven }} {% endset %}[{{ x }}]"), "[A7]");
  EXPECT_EQ(rendered("{% macro box(t) %}<{{ t }}:{{ caller(1) }}>{% endmacro %}"
                     "{% call(n) box(*['a']) %}{{ n + seven }}{% endcall %}"),
            "<a:8>");
  EXPECT_EQ(rendered("{% generation %}own{% endgeneration %}{% set a, b = 1, 2 %}{{ a + b }}"),
            "own3");
  EXPECT_EQ(rendered("{{ strftime_now('%d %b %Y') }} {{ dict(a=1) }} {{ range(5, 0, -2)|list }}"),
            "26 Jul 2024 {'a': 1} [5, 3, 1]");
}

TEST(Jinja, Filters) {
  EXPECT_EQ(rendered("{{ people|map(attribute='name.first', default='?')|join('+') }} "
                     "{{ people|selectattr('age', 'gt', 10)|map(attribute='age')|list }} "
                     "{{ people|rejectattr('name.first')|list|length }}"),
            "Ada+Bob+? [36] 1");
  EXPECT_EQ(
      rendered("{{ list|sort }} {{ list|reverse|list }} {{ list|first }}{{ list|last }} "
               "{{ ['b', 'A', 'a']|sort }} {{ ['b', 'A', 'a']|unique|list }} {{ map|dictsort }}"),
      "[1, 2, 3] [2, 1, 3] 32 ['A', 'a', 'b'] ['b', 'A'] "
      "[('A', [1, {'x': 'y'}]), ('b', 1), ('c', '<&>\\'\"')]");
  EXPECT_EQ(
      rendered("{{ ' Ab-cd eF ' | trim | title }} {{ 'éA'|upper }} {{ 'aB'|capitalize }} "
               "{{ 'aXbX'|replace('X', '', 1) }} {{ '12'|int + 1 }} {{ 'x'|int }} {{ '1'|float }}"),
      "Ab-Cd Ef ÉA Ab abX 13 0 1.0");
  EXPECT_EQ(
      rendered("{{ 'a\nb\n\nc'|indent(2) }} {{ [0, 1, '']|select|list }} {{ 'x'|string|safe }}"),
      "a\n  b\n\n  c [1] x");
}

TEST(Jinja, MethodsAndSlices) {
  EXPECT_EQ(
      rendered(
          "{{ ' one two '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a</t>b'.split('</t>')[-1] }} "
          "{{ 'xxaxx'.strip('x') }} {{ 'éa'.find('a') }} {{ 'ab'.startswith(('b', 'a')) }}"),
      "['one', 'two'] ['a', 'b,c'] b a 1 True");
  EXPECT_EQ(
      rendered(
          "{{ list[1:] }} {{ list[::-1] }} {{ list[-1] }} {{ 'é漢字'[1:] }} {{ 'é漢字'|length }} "
          "{{ list[9] is defined }} {{ map.get('zz', 5) }} {{ map['A'][1].x }}"),
      "[1, 2] [2, 1, 3] 2 漢字 3 False 5 y");
  // A mapping's methods hide its keys, unless they are looked up as items.
  EXPECT_EQ(
      rendered("{% set m = {'items': 1, 'a': 2} %}{{ m.items()|list|length }} {{ m['items'] }}"),
      "2 1");
}

TEST(Jinja, NamesWhatIsWrongAndWhere) {
  EXPECT_EQ(error_of("a\n{% if x %}b"), "test: line 2: a block without {% endif %}");
  EXPECT_EQ(error_of("{% endif %}"), "test: line 1: the statement {% endif %} is not supported");
  EXPECT_EQ(error_of("\n\n{{ x"), "test: line 3: {{ is not closed");
  EXPECT_EQ(error_of("{{ [1, 2 }}"), "test: line 1: got '}', expected ']'");
  EXPECT_EQ(error_of("{{ 'a }}"), "test: line 1: a string is not closed");
  EXPECT_EQ(error_of("{{ 1 2 }}"), "test: line 1: got '2', expected }}");
  EXPECT_EQ(error_of("\n{{ x|nosuch }}"), "test: line 2: the filter \"nosuch\" is not known");
  EXPECT_EQ(error_of("{{ x is nosuch }}"), "test: line 1: the test \"nosuch\" is not known");
  EXPECT_EQ(error_of("{% include 'x' %}"),
            "test: line 1: the statement {% include %} is not supported");
  EXPECT_EQ(error_of("\n{{ raise_exception('No ' ~ seven) }}"), "test: line 2: refuses: No 7");
  EXPECT_EQ(error_of("{{ 'a' + 1 }}"), "test: line 1: a string + an integer");
  EXPECT_EQ(error_of("{{ list.append(1) }}"),
            "test: line 1: the method append of a list is not supported");
  EXPECT_EQ(error_of("{{ map.copy() }}"),
            "test: line 1: the method copy of a mapping is not supported");
  EXPECT_EQ(error_of("{{ 'ß'|upper }}"), "test: line 1: the other case of U+00DF is not supported");
  EXPECT_EQ(error_of("{{ 9223372036854775807 + 1 }}"),
            "test: line 1: +: the result is out of range");
  EXPECT_EQ(error_of("{% for x in none_given %}{% endfor %}"),
            "test: line 1: none cannot be gone through");
  EXPECT_EQ(error_of("{{ (list|select)[0] }}"),
            "test: line 1: an item of an iterator (make a list of it first)");
  EXPECT_EQ(error_of("{{ joiner }}"), "test: line 1: joiner is not supported");
  EXPECT_EQ(error_of("{{ map.__class__ }}"),
            "test: line 1: the attribute __class__ is not allowed");
}

// Templates come from strangers: none may take the machine, or the stack, with it.
TEST(Jinja, BoundsHostileTemplates) {
  EXPECT_THAT(error_of("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
              HasSubstr("levels deep"));
  EXPECT_THAT(error_of("{{ range(1000000000) }}"), HasSubstr("at most 100000"));
  EXPECT_THAT(error_of("{{ 'a' * 1000000000 }}"), HasSubstr("out of range"));
  EXPECT_THAT(
      error_of("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
      HasSubstr("takes more than"));
  EXPECT_THAT(error_of("{% set ns = namespace(x='ab') %}{% for a in range(99) %}"
                       "{% set ns.x = ns.x + ns.x %}{% endfor %}"),
              HasSubstr("MiB of memory"));
  EXPECT_THAT(error_of("{% set ns = namespace(x=[1]) %}{% for a in range(99) %}"
                       "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}"),
              HasSubstr("levels or"));
  EXPECT_THAT(error_of("{% set x = 'a' * 1000000 %}{% for a in range(99) %}{{ x }}{% endfor %}"),
              HasSubstr("writes more than"));
  for (const auto& [open, close] :
       {std::pair("(", ")"), std::pair("[", "]"), std::pair("-(", ")")}) {
    std::string nested = "1";
    for (int i = 0; i < 5000; ++i) nested = open + nested + close;
    EXPECT_THAT(error_of("{{ " + nested + " }}"), HasSubstr("levels"));
  }
  std::string sum = "1", nots, ifs, targets(100000, '('), closing(100000, ')');
  for (int i = 0; i < 100000; ++i) sum += "+1", nots += "not ";
  for (int i = 0; i < 5000; ++i) ifs += "{% if 1 %}";
  EXPECT_THAT(error_of("{{ " + sum + " }}"), HasSubstr("levels"));
  EXPECT_THAT(error_of("{{ " + nots + "1 }}"), HasSubstr("levels"));
  EXPECT_THAT(error_of(ifs), HasSubstr("levels"));
  EXPECT_THAT(error_of("{% set " + targets + "x" + closing + " = 1 %}"), HasSubstr("levels"));
}

}  // namespace
}  // namespace halftone::jinja
