/* lab/chat: conversations are said byte for byte as transformers says them by the published templates, and what is learned
 * of them is what it calls the assistant's (golden.json, made by scripts/peers/chat_golden.py). */
#include "base/os.h"
#include "lab/chat/chat.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void must(enum tr_status status, const struct tr_err *err)
{
    if (status != TR_OK)
        fail_msg("%s", err->text);
}

static const char *golden(const char *name)
{
    static char path[2][TR_PATH_BYTES];
    static int next;
    next = !next;
    snprintf(path[next], sizeof path[next], "%s/tests/lab/chat/%s", getenv("TRINE_SOURCE_DIR"), name);
    return path[next];
}

static struct tr_doc *open_golden(void)
{
    struct tr_doc *doc;
    struct tr_err err = {""};
    must(tr_doc_read(golden("golden.json"), TR_DOC_JSON, &doc, &err), &err);
    return doc;
}

static const struct tr_chat *by_name(const char *name)
{
    const struct tr_chat *chat;
    struct tr_err err = {""};
    must(tr_chat_choose(name, "", 0, "test", &chat, &err), &err);
    return chat;
}

/* The row's template and conversation. */
static const struct tr_chat *open_row(const struct tr_doc *doc, const struct tr_node *row, struct tr_conversation *talk)
{
    const struct tr_node *talks = tr_doc_find(tr_doc_root(doc), "talks");
    int64_t index = tr_doc_find(row, "talk")->integer;
    struct tr_err err = {""};
    must(tr_conversation_parse(&talks->children[index], talk, &err), &err);
    return by_name(tr_doc_find(row, "template")->string);
}

static void expect_text(const struct tr_chat *chat, const struct tr_conversation *talk, bool prompt,
                        const struct tr_node *expected, struct tr_chat_text *text)
{
    struct tr_err err = {""};
    enum tr_status status = tr_chat_render(chat, talk->message, talk->count, prompt, text, &err);
    if (expected->kind == TR_NODE_NULL) {
        assert_int_equal(status, TR_BAD_INPUT);
        tr_assert_says(err.text, tr_chat_name(chat));
        return;
    }
    must(status, &err);
    if (text->text.len != (size_t)expected->count || memcmp(text->text.at, expected->string, text->text.len) != 0)
        fail_msg("%s says\n%s\ninstead of\n%s", tr_chat_name(chat), tr_text_str(&text->text), expected->string);
}

static void every_template_says_what_transformers_says(void **state)
{
    (void)state;
    struct tr_doc *doc = open_golden();
    const struct tr_node *rows = tr_doc_find(tr_doc_root(doc), "rows");
    struct tr_conversation talk = {0};
    struct tr_chat_text text = {0};
    assert_true(rows->count >= 176);
    for (int64_t i = 0; i < rows->count; i++) {
        const struct tr_chat *chat = open_row(doc, &rows->children[i], &talk);
        expect_text(chat, &talk, false, tr_doc_find(&rows->children[i], "text"), &text);
        expect_text(chat, &talk, true, tr_doc_find(&rows->children[i], "prompt"), &text);
    }
    tr_conversation_free(&talk);
    tr_chat_text_free(&text);
    tr_doc_free(doc);
}

static void what_is_learned_is_what_transformers_calls_the_assistants(void **state)
{
    (void)state;
    struct tr_doc *doc = open_golden();
    const struct tr_node *masks = tr_doc_find(tr_doc_root(doc), "masks");
    struct tr_conversation talk = {0};
    struct tr_chat_text text = {0};
    struct tr_chat_tokens tokens = {0};
    struct tr_token *token;
    struct tr_encoder *encoder;
    struct tr_err err = {""};
    must(tr_token_read(golden("golden.tokenizer.json"), &token, &err), &err);
    must(tr_encoder_make(token, &encoder, &err), &err);
    assert_true(masks->count >= 15);
    for (int64_t i = 0; i < masks->count; i++) {
        const struct tr_node *ids = tr_doc_find(&masks->children[i], "ids");
        const struct tr_node *learned = tr_doc_find(&masks->children[i], "learned");
        const struct tr_chat *chat = open_row(doc, &masks->children[i], &talk);
        must(tr_chat_render(chat, talk.message, talk.count, false, &text, &err), &err);
        must(tr_chat_encode(chat, encoder, token, &text, &tokens, &err), &err);
        assert_int_equal(tokens.ids.count, ids->count);
        for (int64_t k = 0; k < ids->count; k++) {
            assert_int_equal(tokens.ids.at[k], ids->children[k].integer);
            assert_int_equal(tokens.learned[k], learned->children[k].integer);
        }
    }
    tr_chat_tokens_free(&tokens);
    tr_conversation_free(&talk);
    tr_chat_text_free(&text);
    tr_encoder_free(encoder);
    tr_token_free(token);
    tr_doc_free(doc);
}

/* Of every template: the tokens are those of the text as a whole, and a reply's last is the one that ends its turn. */
static void tokens_are_those_of_the_whole_text(void **state)
{
    (void)state;
    struct tr_doc *doc = open_golden();
    const struct tr_node *rows = tr_doc_find(tr_doc_root(doc), "rows");
    struct tr_conversation talk = {0};
    struct tr_chat_text text = {0};
    struct tr_chat_tokens tokens = {0};
    struct tr_ids whole = {0};
    struct tr_token *token;
    struct tr_encoder *encoder;
    struct tr_err err = {""};
    must(tr_token_read(golden("golden.tokenizer.json"), &token, &err), &err);
    must(tr_encoder_make(token, &encoder, &err), &err);
    for (int64_t i = 0; i < rows->count; i++) {
        const struct tr_chat *chat = open_row(doc, &rows->children[i], &talk);
        if (tr_chat_render(chat, talk.message, talk.count, false, &text, &err) != TR_OK)
            continue;
        int64_t end, ends = 0;
        whole.count = 0;
        must(tr_encode(encoder, text.text.at, text.text.len, 0, &whole, &err), &err);
        must(tr_chat_encode(chat, encoder, token, &text, &tokens, &err), &err);
        must(tr_chat_end_id(chat, token, &end, &err), &err);
        assert_int_equal(tokens.ids.count, whole.count);
        assert_memory_equal(tokens.ids.at, whole.at, (size_t)whole.count * sizeof *whole.at);
        for (int64_t k = 0; k < whole.count; k++)
            ends += tokens.learned[k] && whole.at[k] == end && (k + 1 == whole.count || !tokens.learned[k + 1]);
        assert_int_equal(ends, text.reply_count);
    }
    tr_ids_free(&whole);
    tr_chat_tokens_free(&tokens);
    tr_conversation_free(&talk);
    tr_chat_text_free(&text);
    tr_encoder_free(encoder);
    tr_token_free(token);
    tr_doc_free(doc);
}

/* ---- which template ---------------------------------------------------------------------------------------------- */

static void a_template_is_known_by_its_text_however_line_ends_are_written(void **state)
{
    (void)state;
    static const char *const smollm2[] = {
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a "
        "helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
        "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
        "'<|im_start|>assistant\n' }}{% endif %}",
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are "
        "a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + "
        "message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
        "'<|im_start|>assistant\\n' }}{% endif %}\n"};
    const struct tr_chat *chat, *first = NULL;
    struct tr_err err = {""};
    for (int i = 0; i < 2; i++) {
        must(tr_chat_choose("", smollm2[i], strlen(smollm2[i]), "m", &chat, &err), &err);
        assert_string_equal(tr_chat_name(chat), "smollm2");
    }
    for (int i = 0; (chat = tr_chat_at(i)) != NULL; i++) { /* and our own texts */
        must(tr_chat_choose("", tr_chat_jinja(chat), strlen(tr_chat_jinja(chat)), "m", &first, &err), &err);
        assert_ptr_equal(first, chat);
        assert_ptr_equal(by_name(tr_chat_name(chat)), chat);
    }
    must(tr_chat_choose("gemma", smollm2[0], strlen(smollm2[0]), "m", &chat, &err), &err); /* the name comes first */
    assert_string_equal(tr_chat_name(chat), "gemma");
}

static void an_unknown_template_is_refused_with_a_list_of_those_known(void **state)
{
    (void)state;
    const struct tr_chat *chat;
    struct tr_err err = {""};
    assert_int_equal(tr_chat_choose("", "{{ messages }}", 14, "their-model", &chat, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "their-model: its chat template is none of those that trine knows: name one");
    tr_assert_says(err.text, "chatml, smollm2, qwen2, qwen2.5, qwen3, llama3, llama3.1, zephyr, mistral, mistral-v0.1, gemma");
    assert_int_equal(tr_chat_choose("", "", 0, "their-model", &chat, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "their-model: has no chat template: name one");
    assert_int_equal(tr_chat_choose("lama3", "", 0, "m", &chat, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "no chat template is called lama3 (did you mean llama3?): known are chatml, ");
}

/* ---- conversations ----------------------------------------------------------------------------------------------- */

static void a_conversation_that_cannot_be_learned_is_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[]", "talk: expected an object with a key \"messages\""},
        {"{}", "messages"},
        {"{\"messages\": []}", "talk: messages"},
        {"{\"messages\": \"hi\"}", "talk: messages"},
        {"{\"messages\": [\"hi\"]}", "messages[0]: expected an object with \"role\" and \"content\""},
        {"{\"messages\": [{\"content\": \"x\"}]}", "role"},
        {"{\"messages\": [{\"role\": \"human\", \"content\": \"x\"}]}", "messages[0].role"},
        {"{\"messages\": [{\"role\": \"assistent\", \"content\": \"x\"}]}", "assistant"},
        {"{\"messages\": [{\"role\": \"assistant\"}]}", "content"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": null}]}", "content: expected a string"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": [{\"type\": \"text\"}]}]}", "content: expected a string"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}", "none of them is of the assistant"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{}]}]}", "tool_calls: conversations that "
                                                                                         "declare or call tools"},
        {"{\"tools\": [1], \"messages\": [{\"role\": \"assistant\", \"content\": \"x\"}]}", "tools: conversations that"},
    };
    struct tr_conversation talk = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_doc *doc;
        struct tr_err err = {""};
        must(tr_doc_parse("talk", TR_DOC_JSON, cases[i][0], strlen(cases[i][0]), &doc, &err), &err);
        assert_int_equal(tr_conversation_parse(tr_doc_root(doc), &talk, &err), TR_BAD_INPUT);
        tr_assert_says(err.text, cases[i][1]);
        tr_doc_free(doc);
    }
    tr_conversation_free(&talk);
}

static void what_a_template_cannot_say_is_refused(void **state)
{
    (void)state;
    struct tr_message system[] = {{TR_ROLE_SYSTEM, {"x", 1}}, {TR_ROLE_ASSISTANT, {"y", 1}}};
    struct tr_message twice[] = {{TR_ROLE_USER, {"x", 1}}, {TR_ROLE_USER, {"y", 1}}};
    struct tr_chat_text text = {0};
    struct tr_err err = {""};
    assert_int_equal(tr_chat_render(by_name("gemma"), system, 2, false, &text, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "message 1: the chat template gemma has no system messages");
    assert_int_equal(tr_chat_render(by_name("mistral"), twice, 2, false, &text, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "message 2 is of the user: in the chat template mistral user and assistant take turns, the "
                                  "user first");
    tr_chat_text_free(&text);
}

static void a_tokenizer_without_the_end_of_a_turn_is_of_another_model(void **state)
{
    (void)state;
    struct tr_token *token;
    struct tr_err err = {""};
    int64_t id;
    must(tr_token_make_bytes(&token, &err), &err);
    assert_int_equal(tr_chat_end_id(by_name("llama3"), token, &id, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "the tokenizer has no token <|eot_id|>, which ends a turn in the chat template llama3");
    tr_token_free(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_template_says_what_transformers_says),
        cmocka_unit_test(what_is_learned_is_what_transformers_calls_the_assistants),
        cmocka_unit_test(tokens_are_those_of_the_whole_text),
        cmocka_unit_test(a_template_is_known_by_its_text_however_line_ends_are_written),
        cmocka_unit_test(an_unknown_template_is_refused_with_a_list_of_those_known),
        cmocka_unit_test(a_conversation_that_cannot_be_learned_is_refused),
        cmocka_unit_test(what_a_template_cannot_say_is_refused),
        cmocka_unit_test(a_tokenizer_without_the_end_of_a_turn_is_of_another_model),
    };
    return cmocka_run_group_tests_name("lab/chat", tests, tr_scratch_setup, tr_scratch_teardown);
}
